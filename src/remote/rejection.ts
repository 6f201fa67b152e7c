import { type ErrorCode, RegistryError } from '../oci/errors.ts'
import { UnconfirmedAnswer } from './faults.ts'
import { missingRepositoryAdvice } from './missing-repository.ts'
import { codesIn, isFromRegistry } from './registry-answer.ts'
import { readReason, reasonIn } from './response-error.ts'
import type { Answer } from './transport.ts'

/** Errors with which an upstream may reject a write, and which clients get with the same code. */
const passedOn = [
  'BLOB_UNKNOWN',
  'BLOB_UPLOAD_INVALID',
  'BLOB_UPLOAD_UNKNOWN',
  'MANIFEST_BLOB_UNKNOWN',
  'MANIFEST_INVALID',
  'MANIFEST_UNKNOWN',
  'NAME_INVALID',
  'NAME_UNKNOWN',
  'SIZE_INVALID',
  'DENIED',
  'UNSUPPORTED',
] as const satisfies readonly ErrorCode[]

type Rejected = {
  /** The upstream's. */
  readonly origin: string
  /** The upstream's name of it. */
  readonly repository: string
  /** What was attempted: `push a blob to p/r`. */
  readonly attempt: string
  /** Removes our credentials from a text that the upstream wrote. */
  readonly scrub: (text: string) => string
}

/**
 * Translates a 4XX to a write that is not a refusal of access: an immutable tag, a repository that does
 * not exist, a method that the upstream lacks. Reads the answer to its end.
 */
export async function rejectionOf(answer: Answer, rejected: Rejected): Promise<RegistryError> {
  const { origin, repository, attempt, scrub } = rejected
  const { status } = answer
  const body = await readReason(answer)
  const codes = codesIn(body)
  if (!isFromRegistry(answer, body) && codes.length === 0)
    return new UnconfirmedAnswer(origin, status)
  const reason = scrub(reasonIn(body))
  const message = `cannot ${attempt}: ${origin} answered ${status}${reason && `: ${reason}`}`
  // Berth has verified the digest before, so this is not the client's error.
  if (status < 400 || codes.includes('DIGEST_INVALID'))
    return new RegistryError('UNAVAILABLE', { message, status: 502 })
  const code = passedOn.find((known) => codes.includes(known)) ?? codeOf(status)
  const advice =
    code === 'NAME_UNKNOWN' ? missingRepositoryAdvice(new URL(origin).host, repository) : undefined
  return new RegistryError(code, { message, advice, status })
}

/** For codes outside the specification, such as Amazon ECR's for an immutable tag. */
function codeOf(status: number): ErrorCode {
  if (status === 404) return 'NAME_UNKNOWN'
  if (status === 405) return 'UNSUPPORTED'
  return status === 413 ? 'SIZE_INVALID' : 'DENIED'
}
