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
  return {
    answered: (kind, result) => {
      metrics.cacheRequests.inc({ upstream, kind, result })
      if (kind === 'tag') return
      metrics.proxyRequests.inc({ type: kind })
      if (result === 'miss' || result === 'bypass') metrics.proxyMisses.inc({ type: kind })
      else metrics.proxyHits.inc({ type: kind })
    },
    countFailure: async (kind, answer) => {
      try {
        return await answer
      } catch (error) {
        metrics.cacheRequests.inc({ upstream, kind, result: 'error' })
        throw error
      }
    },
    fetched: (kind, bytes, source = 'upstream') => {
      metrics.cacheBytes.inc({ upstream, kind, source }, bytes)
      if (source === 'upstream') metrics.proxyPulledBytes.inc({ type: kind }, bytes)
    },
  }
}
