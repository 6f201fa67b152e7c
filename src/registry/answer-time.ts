import { RegistryError } from '../oci/errors.ts'
import { isSettledWithin } from './settled-within.ts'

/**
 * The result of `work`, or UNAVAILABLE (503) when it takes too long. The work continues, and a retry
 * joins it.
 */
export type WithAnswerTime = <Result>(what: string, work: Promise<Result>) => Promise<Result>

/** `answerTime`: milliseconds. */
export function createWithAnswerTime(answerTime: number): WithAnswerTime {
  return async (what, work) => {
    if (await isSettledWithin(work, answerTime)) return work
    throw tooSlow(what, answerTime)
  }
}

export function tooSlow(what: string, answerTime: number): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: `the upstream did not send ${what} within ${answerTime / 1000} s; the request continues, retry`,
    retryAfter: 2,
  })
}
