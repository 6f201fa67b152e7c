import { setTimeout as sleep } from 'node:timers/promises'
import { isRegistryError, type RegistryError } from '../oci/errors.ts'
import type { Exchange } from './exchange.ts'
import { UpstreamFailure } from './faults.ts'
import { pauseBeforeRetry } from './retry.ts'

/** How often the end of a throttle (429) is waited for, and how long each time, in milliseconds. */
const maxThrottled = 3
const maxThrottleWait = 20_000

/**
 * Repeats a step that has the same result when it is repeated, at most twice. `mayBeDone`: an earlier
 * attempt failed without an answer, or with 5XX, and may have had its effect.
 */
export async function retryWrite<Result>(
  step: (mayBeDone: boolean) => Promise<Result>,
  signal?: AbortSignal,
): Promise<Result> {
  for (let failed = 0; ; failed += 1) {
    try {
      return await step(failed > 0)
    } catch (error) {
      signal?.throwIfAborted()
      const pause = error instanceof UpstreamFailure ? pauseBeforeRetry(error, failed) : undefined
      if (pause === undefined) throw error
      await sleep(pause, undefined, { ...(signal && { signal }) })
    }
  }
}

/** The same exchange, which sends a request again that was answered by 429, when the throttle is over soon. */
export function waitForThrottles(exchange: Exchange): Exchange {
  return {
    request: async (request) => {
      for (let throttled = 0; ; throttled += 1) {
        try {
          return await exchange.request(request)
        } catch (error) {
          const pause = pauseAfterThrottle(error)
          if (pause === undefined || throttled === maxThrottled) throw error
          const { signal } = request
          await sleep(pause, undefined, { ...(signal && { signal }) })
        }
      }
    },
  }
}

/** Clients get a 429 as 503 (see asUnavailable). Undefined for other errors and for long throttles. */
function pauseAfterThrottle(error: unknown): number | undefined {
  if (!isRegistryError(error) || !isRegistryError(error.cause, 'TOOMANYREQUESTS')) return undefined
  const pause = pauseBeforeRetry(error.cause, 0) ?? 0
  return pause > maxThrottleWait ? undefined : pause
}

/** The upstream forgot an upload session, as a registry of several replicas may: a new one may succeed. */
export function lostSession(error: RegistryError): UpstreamFailure {
  return new UpstreamFailure('failing', error.message, { cause: error })
}
