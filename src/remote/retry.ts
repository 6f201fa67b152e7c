import { isRegistryError, RegistryError } from '../oci/errors.ts'
import { Throttled, UpstreamFailure } from './faults.ts'
import { maxThrottle } from './throttle.ts'

const maxRetries = 2
/** Back-off before a retry, in milliseconds; doubled for the second, with a jitter of half. */
const retryDelay = 150
/**
 * A pause that an upstream requests, in seconds. A longer one prevents retries; a shorter one is
 * waited out.
 */
const maxPause = 5

/** Back-off in milliseconds before a failed request is retried; undefined if it is not retried. */
export function pauseBeforeRetry(error: unknown, retries: number): number | undefined {
  // Admission waits for the end of a throttle, for all requests of the same kind together.
  if (error instanceof Throttled) return 0
  if (isRegistryError(error, 'TOOMANYREQUESTS')) return (error.retryAfter ?? 1) * 1000
  if (!(error instanceof UpstreamFailure) || retries >= maxRetries) return undefined
  const { fault, throttledFor } = error
  const isRetryable =
    fault === 'broken' ||
    ((fault === 'slow' || fault === 'redirected') && retries === 0) ||
    (fault === 'failing' && throttledFor <= maxPause)
  if (!isRetryable) return undefined
  return Math.max(retryDelay * 2 ** retries * (0.5 + Math.random()), throttledFor * 1000)
}

/** Clients retry a 429 immediately and ignore Retry-After (containerd), so retries end here. */
export function asUnavailable(error: unknown): unknown {
  if (!isRegistryError(error, 'TOOMANYREQUESTS')) return error
  const { message, retryAfter = 5 } = error
  return new RegistryError('UNAVAILABLE', {
    message,
    retryAfter: Math.min(Math.ceil(retryAfter), maxThrottle / 1000),
    cause: error,
  })
}

/**
 * Milliseconds to wait according to an error: an open breaker, a throttle, the upstream's
 * Retry-After.
 */
export function retryPause(error: unknown): number {
  if (error instanceof UpstreamFailure) return error.throttledFor * 1000
  return isRegistryError(error) ? (error.retryAfter ?? 0) * 1000 : 0
}
