/** Something unreferenced that waits for the end of its grace period. */
type Candidate<Item> = {
  readonly item: Item
  /** When it was found unreferenced, by the queue's clock. */
  readonly since: number
}

/** What is unreferenced, with the time at which it was found so. Bounded. */
export interface ReviewQueue<Item> {
  readonly size: number
  /** Replaces the content by what is unreferenced now: what was in the queue keeps its time. */
  refresh(items: AsyncIterable<Item>): Promise<void>
  has(key: string): boolean
  delete(key: string): void
  /** Items whose grace period is over. */
  due(): readonly Item[]
}

type ReviewQueueOptions<Item> = {
  readonly keyOf: (item: Item) => string
  /** Milliseconds. */
  readonly grace: number
  /** Milliseconds since any fixed time. */
  readonly uptime: () => number
  /** Number of candidates. What does not fit waits for a later refresh. */
  readonly max?: number
}

const defaultMax = 50_000

/**
 * In memory: after a start every grace period begins anew, since clients of the process before may
 * still rely on what the registry confirmed.
 */
export function createReviewQueue<Item>(options: ReviewQueueOptions<Item>): ReviewQueue<Item> {
  const { keyOf, grace, uptime, max = defaultMax } = options
  let candidates = new Map<string, Candidate<Item>>()

  return {
    get size() {
      return candidates.size
    },
    refresh: async (items) => {
      const next = new Map<string, Candidate<Item>>()
      for await (const item of items) {
        if (next.size >= max) break
        const key = keyOf(item)
        next.set(key, { item, since: candidates.get(key)?.since ?? uptime() })
      }
      candidates = next
    },
    has: (key) => candidates.has(key),
    delete: (key) => void candidates.delete(key),
    due: () =>
      [...candidates.values()]
        .filter(({ since }) => since + grace <= uptime())
        .map(({ item }) => item),
  }
}
