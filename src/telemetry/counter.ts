import { Counter, type CounterConfiguration } from 'prom-client'

/** Adds to a counter, by default 1, with the labels that belong to the key. The keys must be few. */
export type Tally = (key: string, amount?: number) => void

/**
 * A counter of prom-client that can be added to without labels: it makes a text of all labels for each `inc`, which
 * takes longer than much of what it counts. Tallies reach the counter when it is read.
 */
export function createCounter<Label extends string>(options: CounterConfiguration<Label>) {
  const flushes: (() => void)[] = []
  const counter = new Counter({
    ...options,
    collect: () => {
      for (const flush of flushes) flush()
    },
  })

  const tally = (labelsOf: (key: string) => Readonly<Record<Label, string>>): Tally => {
    const counts = new Map<string, { pending: number }>()
    flushes.push(() => {
      for (const [key, count] of counts) {
        counter.inc(labelsOf(key), count.pending)
        count.pending = 0
      }
    })
    return (key, amount = 1) => {
      const count = counts.get(key)
      if (count === undefined) counts.set(key, { pending: amount })
      else count.pending += amount
    }
  }
  return Object.assign(counter, { tally })
}
