import { isRegistryError, RegistryError } from '../oci/errors.ts'
import { longestQuiet } from './breaker.ts'
import { UpstreamFailure } from './faults.ts'

const mostRetries = 2
/** Before a retry, in milliseconds; doubled for the second, spread by half. */
const retryDelay = 150
/**
 * An upstream that wants to be left alone for longer than this, in seconds, is not tried again; one
 * that does for less, not before.
 */
const longestWait = 5

/**
 * How long to wait, in milliseconds, before a question that failed is asked once more; undefined for
 * what is not. `patient`: whether what was slow is worth it.
 */
export function pauseBeforeRetry(
  error: unknown,
  retries: number,
  { patient = true }: { readonly patient?: boolean },
): number | undefined {
  if (!(error instanceof UpstreamFailure) || retries >= mostRetries) return undefined
  const { fault, quiet } = error
  const isWorthIt =
    fault === 'broken' ||
    (fault === 'slow' && patient && retries === 0) ||
    (fault === 'failing' && quiet <= longestWait)
  if (!isWorthIt) return undefined
  return Math.max(retryDelay * 2 ** retries * (0.5 + Math.random()), quiet * 1000)
}

/** Clients retry a 429 at once and without reading Retry-After (containerd), so it ends here. */
export function softened(error: unknown): unknown {
  if (!isRegistryError(error, 'TOOMANYREQUESTS')) return error
  const { message, retryAfter = 5 } = error
  return new RegistryError('UNAVAILABLE', {
    message,
    retryAfter: Math.min(Math.ceil(retryAfter), longestQuiet / 1000),
    cause: error,
  })
}
