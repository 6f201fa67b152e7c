import { isRegistryError, RegistryError } from '../oci/errors.ts'
import { Throttled, UpstreamFailure } from './faults.ts'
import { maxThrottle } from './throttle.ts'

const maxRetries = 2
/** Before a retry, in milliseconds; doubled for the second, spread by half. */
const retryDelay = 150
/**
 * An upstream that asks for a longer pause than this, in seconds, is not asked again; one that asks
 * for a shorter one, not before.
 */
const maxPause = 5

/**
 * How long to wait, in milliseconds, before a question that failed is asked once more; undefined for
 * what is not.
 */
export function pauseBeforeRetry(error: unknown, retries: number): number | undefined {
  // Admission waits for the end of a throttle, for all who ask for the same kind together.
  if (error instanceof Throttled) return 0
  if (isRegistryError(error, 'TOOMANYREQUESTS')) return (error.retryAfter ?? 1) * 1000
  if (!(error instanceof UpstreamFailure) || retries >= maxRetries) return undefined
  const { fault, quiet } = error
  const isRetryable =
    fault === 'broken' ||
    ((fault === 'slow' || fault === 'redirected') && retries === 0) ||
    (fault === 'failing' && quiet <= maxPause)
  if (!isRetryable) return undefined
  return Math.max(retryDelay * 2 ** retries * (0.5 + Math.random()), quiet * 1000)
}

/** Clients retry a 429 at once and without reading Retry-After (containerd), so it ends here. */
export function asUnavailable(error: unknown): unknown {
  if (!isRegistryError(error, 'TOOMANYREQUESTS')) return error
  const { message, retryAfter = 5 } = error
  return new RegistryError('UNAVAILABLE', {
    message,
    retryAfter: Math.min(Math.ceil(retryAfter), maxThrottle / 1000),
    cause: error,
  })
}

/** Milliseconds that an error asks to wait for: an open breaker, a throttle, the upstream itself. */
export function retryPause(error: unknown): number {
  if (error instanceof UpstreamFailure) return error.quiet * 1000
  return isRegistryError(error) ? (error.retryAfter ?? 0) * 1000 : 0
}
