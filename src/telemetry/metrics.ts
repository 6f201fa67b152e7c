import { collectDefaultMetrics, Registry } from 'prom-client'
import { cacheMetrics } from './cache-metrics.ts'
import { hostedMetrics } from './hosted-metrics.ts'
import { httpMetrics } from './http-metrics.ts'
import { createMetricKinds } from './metric-kinds.ts'
import { programMetrics } from './program-metrics.ts'
import { upstreamMetrics } from './upstream-metrics.ts'

/**
 * All metrics of Berth, in tables. `upstream` is an upstream's prefix, or its host where the prefix is empty;
 * `kind` is blob, manifest or tag; `result` is hit, miss, coalesced, stale, bypass or error;
 * `route` is a line of the route table, never a path.
 */
export function createMetrics({
  withoutZeros = false,
}: {
  withoutZeros?: boolean | undefined
} = {}) {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  // Gauges with names of counters, which promtool reports; the gauges by type have the same sums.
  for (const what of ['handles', 'requests', 'resources'])
    registry.removeSingleMetric(`nodejs_active_${what}_total`)
  const kinds = createMetricKinds(registry, withoutZeros)
  const scrapeListeners: (() => void)[] = []

  return {
    /** Calls the listener before each scrape, to set gauges. */
    onScrape: (listener: () => void) => void scrapeListeners.push(listener),
    /** Sets the gauges, for a reader other than a scrape. */
    refresh: (): void => {
      for (const listener of scrapeListeners) listener()
    },
    /** Content type of the exposition format. */
    contentType: registry.contentType,
    /** All metrics, or one of them. */
    text: (name?: string): Promise<string> => {
      for (const listener of scrapeListeners) listener()
      return name !== undefined && registry.getSingleMetric(name) !== undefined
        ? registry.getSingleMetricAsString(name)
        : registry.metrics()
    },

    ...cacheMetrics(kinds),
    ...hostedMetrics(kinds),
    ...upstreamMetrics(kinds),
    ...httpMetrics(kinds),
    ...programMetrics(kinds),
  }
}
