/** Steps in order of time; those of the same time in the order in which they were added. */
export interface EventQueue {
  now(): number
  /** `time`: in seconds since the start, not before now. */
  at(time: number, step: () => void): void
  /** Runs until there are no more steps. */
  run(): void
}

export function createEventQueue(): EventQueue {
  const heap = createHeap<() => void>()
  let now = 0
  return {
    now: () => now,
    at: (time, step) => heap.add(Math.max(now, time), step),
    run: () => {
      for (let next = heap.take(); next !== undefined; next = heap.take()) {
        now = next.key
        next.value()
      }
    },
  }
}

type Entry<Value> = { readonly key: number; readonly order: number; readonly value: Value }

/** A binary heap: the smallest key first, of equal ones the earliest. */
export function createHeap<Value>() {
  const entries: Entry<Value>[] = []
  let count = 0
  const isBefore = (one: Entry<Value>, other: Entry<Value>): boolean =>
    one.key < other.key || (one.key === other.key && one.order < other.order)

  const sift = (entry: Entry<Value>): void => {
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      let next = entries[child]
      if (next === undefined) break
      const right = entries[child + 1]
      if (right !== undefined && isBefore(right, next)) {
        child += 1
        next = right
      }
      if (!isBefore(next, entry)) break
      entries[at] = next
      at = child
    }
    entries[at] = entry
  }

  return {
    add: (key: number, value: Value): void => {
      const entry = { key, order: count, value }
      count += 1
      let at = entries.length
      while (at > 0) {
        const parent = (at - 1) >> 1
        const above = entries[parent]
        if (above === undefined || !isBefore(entry, above)) break
        entries[at] = above
        at = parent
      }
      entries[at] = entry
    },
    first: () => entries[0],
    take: (): Entry<Value> | undefined => {
      const [first] = entries
      const last = entries.pop()
      if (first !== undefined && last !== undefined && entries.length > 0) sift(last)
      return first
    },
  }
}
