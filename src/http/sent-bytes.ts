import type { Metrics } from '../telemetry/telemetry.ts'

/** Counts bytes of a content of an upstream that were sent to a client. */
export type CountSent = (
  /** Undefined for a hosted repository, which these metrics do not include. */
  upstream: string | undefined,
  bytes: number,
) => void

/** In Berth's metrics, and in those of Distribution for the same event. */
export function createCountSent(metrics: Metrics, kind: 'blob' | 'manifest'): CountSent {
  const sent = metrics.cacheBytes.tally((upstream) => ({ upstream, kind, source: 'cache' }))
  const pushed = metrics.proxyPushedBytes.tally((type) => ({ type }))
  return (upstream, bytes) => {
    if (upstream === undefined) return
    sent(upstream, bytes)
    pushed(kind, bytes)
  }
}
