import { parseRepositoryName } from '../oci/reference.ts'
import { isRegistryHost } from '../oci/registry-host.ts'
import type { Registry, Resolved } from '../registry/registry.ts'
import type { RequestRecord } from './call.ts'
import type { Captures } from './paths.ts'

type Request = {
  readonly captures: Captures
  readonly query: URLSearchParams
  readonly record: RequestRecord
}

/**
 * The repository that a request names, recorded as far as it is valid.
 * @throws RegistryError
 */
export function resolveRepository(
  registry: Registry,
  { captures, query, record }: Request,
): Resolved {
  const requested = parseRepositoryName(captures.name)
  const host = query.get('ns') ?? undefined
  record.repository = requested
  if (host !== undefined && isRegistryHost(host)) record.namespace = host
  const resolved = registry.resolve(requested, host)
  record.repository = resolved.name
  return resolved
}
