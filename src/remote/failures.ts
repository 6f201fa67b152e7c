import { LRUCache } from 'lru-cache'
import { limitEntries } from '../memory/memory.ts'
import { UpstreamFailure } from './faults.ts'

/**
 * Back-off after the second failure in a row, doubling, in milliseconds: a single failure may be
 * transient.
 */
const firstPause = 2000
const maxPause = 16_000
/** Requests that no client repeats are forgotten after this, in milliseconds. */
const life = 60_000
const maxQuestions = 10_000
/** Failures in a row, over all requests, that the reported state includes. */
const maxUnnoticed = 5

/**
 * Tracks requests that failed although the host is up: a broken image, a blob that does not arrive.
 * Each has its own back-off, which grows, and does not affect other requests.
 */
export interface Failures {
  /** @throws UpstreamFailure, the last one, during the back-off of this request. */
  check(question: string): void
  failed(question: string, failure: UpstreamFailure): void
  answered(question: string): void
  /** The last failure, if all recent requests failed. */
  problem(): string | undefined
}

type Failed = {
  readonly times: number
  readonly until: number
  readonly fault: UpstreamFailure['fault']
  readonly message: string
}

export function createFailures(): Failures {
  const failed = new LRUCache<string, Failed>({ ...limitEntries(maxQuestions), ttl: life })
  let inRow = 0
  let last: { readonly message: string; readonly at: number } | undefined

  return {
    check: (question) => {
      const known = failed.get(question)
      const left = (known?.until ?? 0) - performance.now()
      if (known === undefined || left <= 0) return
      const retryAfter = Math.ceil(left / 1000)
      const message = `${known.message} (not retrying for ${retryAfter} s after ${known.times} failures)`
      throw new UpstreamFailure(known.fault, message, { retryAfter })
    },
    failed: (question, { fault, message }) => {
      const now = performance.now()
      // Failures of requests in flight at the same time count once.
      if (now < (failed.get(question)?.until ?? 0)) return
      const times = (failed.get(question)?.times ?? 0) + 1
      const pause = times < 2 ? 0 : Math.min(firstPause * 2 ** (times - 2), maxPause)
      failed.set(question, { times, until: now + pause, fault, message })
      inRow += 1
      last = { message, at: now }
    },
    answered: (question) => {
      failed.delete(question)
      inRow = 0
    },
    problem: () =>
      last !== undefined && inRow >= maxUnnoticed && performance.now() - last.at < life
        ? `${inRow} requests in a row failed: ${last.message}`
        : undefined,
  }
}
