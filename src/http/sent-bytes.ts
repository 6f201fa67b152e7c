import type { Metrics } from '../telemetry/telemetry.ts'

/** Counts bytes of a content of an upstream that were sent to a client. */
export type CountSent = (
  kind: 'blob' | 'manifest',
  /** Undefined for a hosted repository, which these metrics do not include. */
  upstream: string | undefined,
  bytes: number,
) => void

/** In Berth's metrics, and in those of Distribution for the same event. */
export function createCountSent(metrics: Metrics): CountSent {
  return (kind, upstream, bytes) => {
    if (upstream === undefined) return
    metrics.cacheBytes.inc({ upstream, kind, source: 'cache' }, bytes)
    metrics.proxyPushedBytes.inc({ type: kind }, bytes)
  }
}
