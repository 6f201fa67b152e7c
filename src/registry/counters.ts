import type { Metrics } from '../telemetry/telemetry.ts'
import type { CacheResult } from './repository.ts'

type Kind = 'blob' | 'manifest' | 'tag'

/**
 * Counts how the cache of one upstream did: under our names, and under Distribution's for what
 * those know.
 */
export interface Counters {
  answered(kind: Kind, result: CacheResult): void
  /** Passes a failure on, counted. */
  failing<Result>(kind: Kind, answer: Promise<Result>): Promise<Result>
  /** Bytes that went to a client. */
  sent(kind: 'blob' | 'manifest', bytes: number): void
  /** Bytes that came from the upstream. */
  fetched(kind: 'blob' | 'manifest', bytes: number): void
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
    failing: async (kind, answer) => {
      try {
        return await answer
      } catch (error) {
        metrics.cacheRequests.inc({ upstream, kind, result: 'error' })
        throw error
      }
    },
    sent: (kind, bytes) => {
      metrics.cacheBytes.inc({ upstream, kind, source: 'cache' }, bytes)
      metrics.proxyPushedBytes.inc({ type: kind }, bytes)
    },
    fetched: (kind, bytes) => {
      metrics.cacheBytes.inc({ upstream, kind, source: 'upstream' }, bytes)
      metrics.proxyPulledBytes.inc({ type: kind }, bytes)
    },
  }
}
