import { LRUCache } from 'lru-cache'
import { limitEntries } from '../memory/memory.ts'
import { passingAdvice, UpstreamFailure } from './faults.ts'

/**
 * Back-off after the second failure in a row, doubling, in milliseconds: a single failure may be
 * transient.
 */
const firstPause = 2000
const maxPause = 16_000
/** A failure is forgotten after this, in milliseconds, if no client repeats the request. */
const maxAge = 60_000
const maxRequests = 10_000
/** Minimum number of failures in a row, over all requests, that `problem` reports. */
const minReported = 5

/**
 * Tracks requests that failed although the host is up: a broken image, a blob that does not arrive.
 * Each has its own back-off, which grows, and does not affect other requests.
 */
export interface Failures {
  /** @throws UpstreamFailure, the last one, during the back-off of this request. */
  check(request: string): void
  failed(request: string, failure: UpstreamFailure): void
  answered(request: string): void
  /** The last failure and what to do, if all recent requests failed. */
  problem(): string | undefined
}

type Failed = {
  readonly times: number
  readonly until: number
  readonly fault: UpstreamFailure['fault']
  readonly message: string
}

export function createFailures(): Failures {
  const failed = new LRUCache<string, Failed>({ ...limitEntries(maxRequests), ttl: maxAge })
  let consecutive = 0
  let last: { readonly message: string; readonly at: number } | undefined

  return {
    check: (request) => {
      const known = failed.get(request)
      const left = (known?.until ?? 0) - performance.now()
      if (known === undefined || left <= 0) return
      const retryAfter = Math.ceil(left / 1000)
      const message = `${known.message} (not retrying for ${retryAfter} s after ${known.times} failures)`
      throw new UpstreamFailure(known.fault, message, { retryAfter })
    },
    failed: (request, { fault, message }) => {
      const now = performance.now()
      // Failures of requests in flight at the same time count once.
      if (now < (failed.get(request)?.until ?? 0)) return
      const times = (failed.get(request)?.times ?? 0) + 1
      const pause = times < 2 ? 0 : Math.min(firstPause * 2 ** (times - 2), maxPause)
      failed.set(request, { times, until: now + pause, fault, message })
      consecutive += 1
      last = { message: fault === 'failing' ? `${message}; ${passingAdvice}` : message, at: now }
    },
    answered: (request) => {
      failed.delete(request)
      consecutive = 0
    },
    problem: () =>
      last !== undefined && consecutive >= minReported && performance.now() - last.at < maxAge
        ? `${consecutive} requests in a row failed: ${last.message}`
        : undefined,
  }
}
