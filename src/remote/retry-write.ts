import { setTimeout as sleep } from 'node:timers/promises'
import { isRegistryError } from '../oci/errors.ts'
import { UpstreamFailure } from './faults.ts'
import { pauseBeforeRetry } from './retry.ts'

/** How often the end of a throttle (429) is waited for, and how long each time, in milliseconds. */
const maxThrottled = 3
const maxThrottleWait = 20_000

/**
 * Repeats a step that has the same result when it is repeated: at most twice after a failure, and after
 * 429 when it is over soon. `mayBeDone`: an earlier attempt failed without an answer, or with 5XX, and may
 * have had its effect.
 */
export async function retryWrite<Result>(
  step: (mayBeDone: boolean) => Promise<Result>,
  signal?: AbortSignal,
): Promise<Result> {
  let throttled = 0
  for (let failed = 0; ; ) {
    try {
      return await step(failed > 0)
    } catch (error) {
      signal?.throwIfAborted()
      const cause = causeOf(error)
      const isThrottled = isRegistryError(cause, 'TOOMANYREQUESTS')
      const pause = pauseBeforeRetry(cause, failed)
      if (pause === undefined || pause > maxThrottleWait) throw error
      if (isThrottled) throttled += 1
      else failed += 1
      if (throttled > maxThrottled) throw error
      await sleep(pause, undefined, { ...(signal && { signal }) })
    }
  }
}

/** The upstream forgot an upload session, as a registry of several replicas may: a new one may succeed. */
export function lostSession(error: RegistryErrorLike): UpstreamFailure {
  return new UpstreamFailure('failing', error.message, { cause: error })
}

type RegistryErrorLike = { readonly message: string }

/** Clients get a 429 as 503: see asUnavailable. */
function causeOf(error: unknown): unknown {
  const isThrottle = isRegistryError(error) && isRegistryError(error.cause, 'TOOMANYREQUESTS')
  return isThrottle ? error.cause : error
}
