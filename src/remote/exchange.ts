import { setTimeout as sleep } from 'node:timers/promises'
import { isRegistryError } from '../oci/errors.ts'
import type { Failures } from './failures.ts'
import { isConnectFailure, UpstreamFailure } from './faults.ts'
import { asUnavailable, pauseBeforeRetry } from './retry.ts'
import type { AttemptRequest, SendOnce } from './send-once.ts'
import type { Answer } from './transport.ts'

/** One request to the upstream. A request that writes is sent once: its caller retries it. */
type UpstreamRequest = Omit<AttemptRequest, 'until' | 'throttledUntil'> & {
  /** Resumes a transfer: its caller retries it, whatever failed before. */
  readonly isResume?: boolean
  /**
   * Milliseconds until the answer's headers, in total: slots, 429 and retries included. A client
   * may get its answer earlier: the registry sets how long clients wait.
   */
  readonly maxWait?: number | undefined
}

/**
 * Sends a request to the upstream: 200, 206 and 404 are returned, as are other 4XX that are not
 * denials; everything else throws.
 */
export interface Exchange {
  request(request: UpstreamRequest): Promise<Answer>
}

type ExchangeOptions = { readonly sendOnce: SendOnce; readonly failures: Failures }

/** In milliseconds. */
const defaultMaxWait = 60_000
/** A longer throttle is returned as an error, without waiting; in milliseconds. */
const maxThrottleWait = 20_000

/**
 * The retries of requests. Only the callers of `isResume` and of writes also retry.
 *
 * 1. A request that failed recently is rejected during its back-off.
 * 2. Send it, as `admission` permits: see `createSendOnce`.
 * 3. Retry at most twice after a connection that broke before the answer, and after 5XX; once after
 *    a timeout. After 429, wait until the throttle for all requests of this kind ends.
 */
export function createExchange({ sendOnce, failures }: ExchangeOptions): Exchange {
  const sendWithRetries = async (request: UpstreamRequest): Promise<Answer> => {
    const { maxWait = defaultMaxWait, signal } = request
    const now = performance.now()
    const deadlines = {
      until: now + maxWait,
      throttledUntil: now + Math.min(maxWait, maxThrottleWait),
    }
    for (let retries = 0; ; ) {
      try {
        return await sendOnce({ ...request, ...deadlines })
      } catch (error) {
        if (signal?.aborted) throw signal.reason
        const isThrottled = isRegistryError(error, 'TOOMANYREQUESTS')
        const left = deadlines[isThrottled ? 'throttledUntil' : 'until'] - performance.now()
        const pause = isRetriedByCaller(request) ? undefined : pauseBeforeRetry(error, retries)
        if (pause === undefined || pause > left) throw asUnavailable(error)
        await sleep(pause, undefined, { ...(signal && { signal }) }).catch(() => {})
        signal?.throwIfAborted()
        if (!isThrottled) retries += 1
      }
    }
  }

  return {
    request: async (request) => {
      const key = `${request.method} ${request.path}`
      if (!isRetriedByCaller(request)) failures.check(key)
      try {
        const answer = await sendWithRetries(request)
        failures.answered(key, request.kind)
        return answer
      } catch (error) {
        // A host that is down is handled by its breaker.
        if (isConnectFailure(error)) failures.unreachable(request.kind, error)
        else if (error instanceof UpstreamFailure) failures.failed(key, request.kind, error)
        throw error
      }
    },
  }
}

function isRetriedByCaller({ method, isResume = false }: UpstreamRequest): boolean {
  return isResume || (method !== 'GET' && method !== 'HEAD')
}
