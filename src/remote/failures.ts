import { LRUCache } from 'lru-cache'
import { limitEntries } from '../memory/memory.ts'
import { passingAdvice, UpstreamFailure } from './faults.ts'
import type { Kind } from './kinds.ts'

/**
 * Back-off after the second failure in a row, doubling, in milliseconds: a single failure may be
 * transient.
 */
const firstPause = 2000
const maxPause = 16_000
/** A failure is forgotten after this, in milliseconds, if no client repeats the request. */
const maxAge = 60_000
const maxRequests = 10_000
/**
 * Minimum number of failures in a row, over all requests of a kind, that `problem` reports: while the storage of blobs
 * is down, manifests are well.
 */
const minReported = 5

/**
 * Tracks requests that failed although the host is up: a broken image, a blob that does not arrive.
 * Each has its own back-off, which grows, and does not affect other requests.
 */
export interface Failures {
  /** @throws UpstreamFailure, the last one, during the back-off of this request. */
  check(request: string): void
  failed(request: string, kind: Kind, failure: UpstreamFailure): void
  /** No connection: the breaker of the host rejects further requests. */
  unreachable(kind: Kind, failure: UpstreamFailure): void
  answered(request: string, kind: Kind): void
  /** The last failure and what to do, if all recent requests of a kind failed. */
  problem(): string | undefined
}

type Failed = {
  readonly times: number
  readonly until: number
  readonly fault: UpstreamFailure['fault']
  readonly message: string
}

/** Failures of one kind of requests since the last answer. */
type Row = { readonly inRow: number; readonly message: string; readonly at: number }

export function createFailures(): Failures {
  const failed = new LRUCache<string, Failed>({ ...limitEntries(maxRequests), ttl: maxAge })
  const byKind = new Map<Kind, Row>()

  const count = (kind: Kind, { fault, message }: UpstreamFailure): void => {
    const inRow = (byKind.get(kind)?.inRow ?? 0) + 1
    const withAdvice = fault === 'failing' ? `${message}; ${passingAdvice}` : message
    byKind.set(kind, { inRow, message: withAdvice, at: performance.now() })
  }

  const problemOf = ({ inRow, message, at }: Row): string | undefined =>
    inRow >= minReported && performance.now() - at < maxAge
      ? `${inRow} requests in a row failed: ${message}`
      : undefined

  return {
    check: (request) => {
      const known = failed.get(request)
      const left = (known?.until ?? 0) - performance.now()
      if (known === undefined || left <= 0) return
      const retryAfter = Math.ceil(left / 1000)
      const message = `${known.message} (not retrying for ${retryAfter} s after ${known.times} failures)`
      throw new UpstreamFailure(known.fault, message, { retryAfter })
    },
    failed: (request, kind, failure) => {
      const { fault, message } = failure
      const now = performance.now()
      // Failures of requests in flight at the same time count once.
      if (now < (failed.get(request)?.until ?? 0)) return
      const times = (failed.get(request)?.times ?? 0) + 1
      const pause = times < 2 ? 0 : Math.min(firstPause * 2 ** (times - 2), maxPause)
      failed.set(request, { times, until: now + pause, fault, message })
      count(kind, failure)
    },
    unreachable: count,
    answered: (request, kind) => {
      failed.delete(request)
      byKind.delete(kind)
    },
    problem: () => [...byKind.values()].map(problemOf).find((problem) => problem !== undefined),
  }
}
