import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { formatReference, type Reference, type RepositoryName } from '../oci/reference.ts'
import type { Precondition } from './repository.ts'

type Current = {
  readonly name: RepositoryName
  readonly reference: Reference
  /** What the reference means now. */
  readonly current: Digest | undefined
}

/** @throws RegistryError DENIED, status 412: what the client expects is not so (any more). */
export function assertPrecondition(
  precondition: Precondition | undefined,
  { name, reference, current }: Current,
): void {
  if (precondition === undefined || precondition(current)) return
  const state = current === undefined ? 'does not exist' : `is ${current}`
  throw new RegistryError('DENIED', {
    status: 412,
    message: `nothing was changed, because a condition of the request does not hold: ${formatReference(reference)} in ${name} ${state}`,
  })
}
