import { setTimeout as sleep } from 'node:timers/promises'
import type { Credentials } from '../credentials/credentials.ts'
import { isRegistryError } from '../oci/errors.ts'
import type { Admission, Entry } from './admission.ts'
import type { Failures } from './failures.ts'
import { isConnectFailure, UnconfirmedAnswer, UpstreamFailure } from './faults.ts'
import type { LastRefusal } from './last-refusal.ts'
import { asUnavailable, pauseBeforeRetry } from './retry.ts'
import type { Outgoing, Sending } from './sending.ts'
import type { Answer } from './transport.ts'

/** One request to the upstream. Those that write are sent once: whoever writes counts the attempts. */
type Question = Omit<Outgoing, 'firstByte'> &
  Pick<Entry, 'kind' | 'client' | 'releaseSlot'> & {
    /**
     * Resumes a transfer: the caller that resumes it counts the attempts, whatever failed before.
     */
    readonly isResume?: boolean
    /**
     * Milliseconds until the answer's headers, in total: slots, 429 and retries included. A client
     * may get its answer earlier: the registry sets how long clients wait.
     */
    readonly maxWait?: number | undefined
  }

/**
 * Sends a request to the upstream: 200, 206 and 404 are returned, as are other 4XX that are not
 * refusals; everything else throws.
 */
export interface Exchange {
  ask(question: Question): Promise<Answer>
}

type Limits = Pick<Entry, 'until' | 'throttledUntil'>

type ExchangeOptions = {
  readonly credentials: Pick<Credentials, 'problem'>
  readonly admission: Admission
  readonly sending: Sending
  readonly failures: Failures
  readonly lastRefusal: LastRefusal
}

/** In milliseconds. */
const defaultMaxWait = 60_000
/** A longer throttle is returned as an error, without waiting; in milliseconds. */
const maxThrottleWait = 20_000

/**
 * 1. What failed lately is not asked again for a while; `admission` says when all else may go.
 * 2. `sending` asks once.
 * 3. What broke before an answer came, and 5XX, is asked again, twice at most; what timed out, once. A
 *    429 is waited out, by all together. A question that resumes or writes something is asked once:
 *    whoever does that counts. Nothing else is asked again, and nobody above does.
 * 4. The slot is released when the body has been read or dropped, and between attempts.
 */
export function createExchange(options: ExchangeOptions): Exchange {
  const { credentials, admission, sending, failures, lastRefusal } = options

  const record = (error: unknown, { repository, access = 'pull' }: Question): void => {
    // Who may not write may still read.
    if (access !== 'pull') return
    // The credential source reports its own failures while they last.
    if (isRegistryError(error, 'DENIED') && error.message !== credentials.problem())
      lastRefusal.refused(repository, error.message)
    if (error instanceof UnconfirmedAnswer) lastRefusal.refused(repository, error.message)
  }

  const askOnce = async (question: Question, limits: Limits): Promise<Answer> => {
    const permit = await admission.admit({ ...question, ...limits })
    try {
      const answer = await sending.send({
        ...question,
        firstByte: Math.max(limits.until - performance.now(), 1),
      })
      lastRefusal.allowed(question.repository)
      permit.answered(answer.settled)
      return answer
    } catch (error) {
      if (question.signal?.aborted) permit.abandoned()
      else permit.failed(error)
      record(error, question)
      throw error
    }
  }

  const askInTime = async (question: Question): Promise<Answer> => {
    const { maxWait = defaultMaxWait, signal } = question
    const now = performance.now()
    const limits = {
      until: now + maxWait,
      throttledUntil: now + Math.min(maxWait, maxThrottleWait),
    }
    for (let retries = 0; ; ) {
      try {
        return await askOnce(question, limits)
      } catch (error) {
        if (signal?.aborted) throw signal.reason
        const isThrottled = isRegistryError(error, 'TOOMANYREQUESTS')
        const left = limits[isThrottled ? 'throttledUntil' : 'until'] - performance.now()
        const pause = isSentOnce(question) ? undefined : pauseBeforeRetry(error, retries)
        if (pause === undefined || pause > left) throw asUnavailable(error)
        await sleep(pause)
        if (!isThrottled) retries += 1
      }
    }
  }

  return {
    ask: async (question) => {
      const what = `${question.method} ${question.path}`
      if (!isSentOnce(question)) failures.check(what)
      try {
        const answer = await askInTime(question)
        failures.answered(what)
        return answer
      } catch (error) {
        // A host that is down is handled by its breaker.
        if (error instanceof UpstreamFailure && !isConnectFailure(error))
          failures.failed(what, error)
        throw error
      }
    },
  }
}

function isSentOnce({ method, isResume = false }: Question): boolean {
  return isResume || (method !== 'GET' && method !== 'HEAD')
}
