import { LRUCache } from 'lru-cache'
import { limitEntries } from '../memory/memory.ts'
import { UpstreamFailure } from './faults.ts'

/** After the second failure in a row, doubling, in milliseconds: one may have been bad luck. */
const firstPause = 2000
const maxPause = 16_000
/** A question that nobody asks any more is forgotten, in milliseconds. */
const life = 60_000
const maxQuestions = 10_000
/** Failures in a row, whatever the question, that are worth telling who asks for the state. */
const maxUnnoticed = 5

/**
 * Questions that failed although the host is up: a broken image, a blob that does not come. Each is
 * left alone for a while, longer each time, and costs no other question anything.
 */
export interface Failures {
  /** @throws UpstreamFailure as the last one, while the question is not asked again. */
  check(question: string): void
  failed(question: string, failure: UpstreamFailure): void
  answered(question: string): void
  /** The last failure, when nothing but failures came lately. */
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
      // Those that were on their way together count once.
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
