import { RegistryError } from '../oci/errors.ts'
import { isSettledWithin } from './settled-within.ts'

/**
 * What `work` gives, or UNAVAILABLE (503) when that takes too long. The work goes on, and whoever asks
 * again joins it.
 */
export type InTime = <Result>(what: string, work: Promise<Result>) => Promise<Result>

/** In milliseconds. */
export function createInTime(answerTime: number): InTime {
  return async (what, work) => {
    if (await isSettledWithin(work, answerTime)) return work
    throw tooSlow(what, answerTime)
  }
}

export function tooSlow(what: string, answerTime: number): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: `${what} did not come within ${answerTime / 1000} s; it is still being fetched, retry`,
    retryAfter: 2,
  })
}
