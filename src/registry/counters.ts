import type { Metrics } from '../telemetry/telemetry.ts'
import type { CacheResult } from './repository.ts'

type Kind = 'blob' | 'manifest' | 'tag'

/**
 * Counts requests to one upstream's cache, and bytes from the upstream: in Berth's metrics, and in those of
 * Distribution that exist for the same events.
 */
export interface Counters {
  answered(kind: Kind, result: CacheResult): void
  /** Counts a failure, and rejects with it. */
  countFailure<Result>(kind: Kind, answer: Promise<Result>): Promise<Result>
  /** Bytes received, from the upstream or from another origin. */
  fetched(kind: 'blob' | 'manifest', bytes: number, source?: string): void
}

export function createCounters(upstream: string, metrics: Metrics): Counters {
  const resultsOf = (kind: Kind) =>
    metrics.cacheRequests.tally((result) => ({ upstream, kind, result }))
  const results = {
    blob: resultsOf('blob'),
    manifest: resultsOf('manifest'),
    tag: resultsOf('tag'),
  }
  const byType = (type: string) => ({ type })
  const requests = metrics.proxyRequests.tally(byType)
  const hits = metrics.proxyHits.tally(byType)
  const misses = metrics.proxyMisses.tally(byType)

  return {
    answered: (kind, result) => {
      results[kind](result)
      if (kind === 'tag') return
      requests(kind)
      if (result === 'miss' || result === 'bypass') misses(kind)
      else hits(kind)
    },
    countFailure: async (kind, answer) => {
      try {
        return await answer
      } catch (error) {
        results[kind]('error')
        throw error
      }
    },
    fetched: (kind, bytes, source = 'upstream') => {
      metrics.cacheBytes.inc({ upstream, kind, source }, bytes)
      if (source === 'upstream') metrics.proxyPulledBytes.inc({ type: kind }, bytes)
    },
  }
}
