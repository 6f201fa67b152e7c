import { Counter, type CounterConfiguration } from 'prom-client'

/** What was added to a counter since it was read last. */
export type Count = { pending: number }

/** Adds to a counter, by default 1, with the labels that belong to the key. The keys must be few. */
export type Tally = {
  (key: string, amount?: number): void
  /** For a key that takes longer to make and to find than what it counts. */
  readonly of: (key: string) => Count
}

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
    const counts = new Map<string, Count>()
    flushes.push(() => {
      for (const [key, count] of counts) {
        counter.inc(labelsOf(key), count.pending)
        count.pending = 0
      }
    })
    const of = (key: string): Count => {
      const known = counts.get(key)
      if (known !== undefined) return known
      const count = { pending: 0 }
      counts.set(key, count)
      return count
    }
    const add = (key: string, amount = 1): void => {
      of(key).pending += amount
    }
    return Object.assign(add, { of })
  }
  return Object.assign(counter, { tally })
}
