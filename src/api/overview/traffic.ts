import { setInterval } from 'node:timers'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import type { Overview } from '../answers.ts'
import { timeOf } from '../times.ts'

/** Milliseconds between two samples, and their number: a day. */
const interval = 60_000
const maxSamples = 1440

type Counts = Readonly<Record<'hits' | 'misses' | 'errors' | 'served' | 'fetched', number>>
type Sample = NonNullable<Overview['traffic']>['total']

/** What the cache saved, from the metrics: in total, and for each minute of the last day. */
export interface Traffic {
  read(): Promise<NonNullable<Overview['traffic']>>
  close(): void
}

type Options = { readonly metrics: Telemetry['metrics']; readonly now: () => number }

export function createTraffic({ metrics, now }: Options): Traffic {
  const since = now()
  const recent: Sample[] = []
  let last: Counts = { hits: 0, misses: 0, errors: 0, served: 0, fetched: 0 }

  const sample = async (): Promise<void> => {
    const counts = await countsIn(metrics)
    recent.push(sampleOf(now(), difference(counts, last)))
    last = counts
    if (recent.length > maxSamples) recent.shift()
  }

  const timer = setInterval(() => void sample(), interval).unref()

  return {
    read: async () => ({
      since: new Date(since).toISOString(),
      total: sampleOf(now(), await countsIn(metrics)),
      recent: [...recent],
      interval: interval / 1000,
    }),
    close: () => clearInterval(timer),
  }
}

function sampleOf(at: number, counts: Counts): Sample {
  return { at: timeOf(at) ?? '', ...counts }
}

function difference(counts: Counts, before: Counts): Counts {
  return {
    hits: counts.hits - before.hits,
    misses: counts.misses - before.misses,
    errors: counts.errors - before.errors,
    served: counts.served - before.served,
    fetched: counts.fetched - before.fetched,
  }
}

/** Of blobs and manifests; tags are in the manifests that they lead to. */
async function countsIn({ cacheRequests, cacheBytes }: Options['metrics']): Promise<Counts> {
  const requests = (await cacheRequests.get()).values
  const bytes = (await cacheBytes.get()).values
  const answered = (...results: readonly string[]) =>
    requests
      .filter(({ labels }) => labels.kind !== 'tag' && results.includes(String(labels.result)))
      .reduce((sum, { value }) => sum + value, 0)
  const bytesFrom = (source: string) =>
    bytes
      .filter(({ labels }) => labels.source === source)
      .reduce((sum, { value }) => sum + value, 0)
  return {
    hits: answered('hit', 'coalesced', 'stale'),
    misses: answered('miss', 'bypass'),
    errors: answered('error'),
    served: bytesFrom('cache'),
    fetched: bytesFrom('upstream'),
  }
}
