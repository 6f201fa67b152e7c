import { Histogram, type Registry } from 'prom-client'

type Options<Label extends string> = {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly Label[]
  readonly registers: Registry[]
  /** Upper bounds, in ascending order. */
  readonly buckets: number[]
}

/** What was observed with the same labels. */
type Series<Label extends string> = {
  readonly labels: Readonly<Record<Label, string>>
  /** How many values each bucket has, and, as the last one, how many are above all bounds. */
  readonly counts: number[]
  sum: number
}

/** Observes a value with labels that are known. */
export type Observe = (value: number) => void

/**
 * A histogram whose labels are looked up once. prom-client makes a text of all labels for each value, which takes longer
 * than the rest.
 */
export class PreparedHistogram<Label extends string> extends Histogram<Label> {
  readonly #options: Options<Label>
  readonly #series = new Map<string, Series<Label>>()

  constructor(options: Options<Label>) {
    super(options)
    this.#options = options
  }

  prepare(labels: Readonly<Record<Label, string>>): Observe {
    const { buckets } = this.#options
    const series = this.#seriesOf(labels)
    return (value) => {
      let at = 0
      while (value > (buckets[at] ?? Number.POSITIVE_INFINITY)) at += 1
      series.counts[at] = (series.counts[at] ?? 0) + 1
      series.sum += value
    }
  }

  #seriesOf(labels: Readonly<Record<Label, string>>): Series<Label> {
    const key = JSON.stringify(labels)
    const known = this.#series.get(key)
    if (known !== undefined) return known
    const counts = this.#options.buckets.map(() => 0)
    const series = { labels, counts: [...counts, 0], sum: 0 }
    this.#series.set(key, series)
    return series
  }

  /** What prom-client's registry calls, and `get` as well. */
  getForPromString() {
    const { name, help, buckets } = this.#options
    const bounds = [...buckets, '+Inf']
    const values = [...this.#series.values()].flatMap(({ labels: sharedLabels, counts, sum }) => {
      let count = 0
      const ofBuckets = bounds.map((le, at) => {
        count += counts[at] ?? 0
        return { metricName: `${name}_bucket`, labels: { le }, sharedLabels, value: count }
      })
      return [
        ...ofBuckets,
        { metricName: `${name}_sum`, labels: {}, sharedLabels, value: sum },
        { metricName: `${name}_count`, labels: {}, sharedLabels, value: count },
      ]
    })
    return Promise.resolve({ name, help, type: 'histogram', aggregator: 'sum', values })
  }
}
