/** Keys that wait for work, or are worked on. */
export interface WorkQueue {
  /** Does the work of a key soon; once, however often it is added meanwhile. */
  add(key: string): void
  /** Waits for work that runs, and begins no other. */
  close(): Promise<void>
}

/** Milliseconds until the key's next turn; undefined: only when it is added again. */
type Next = number | undefined

type WorkQueueOptions = {
  readonly work: (key: string) => Promise<Next>
  readonly onError: (key: string, error: unknown) => void
  /** Keys that are worked on at the same time. */
  readonly concurrency?: number
  /** Milliseconds until the first repetition after an error; doubled up to `maxDelay`. */
  readonly retryDelay?: number
  readonly maxDelay?: number
}

/**
 * One turn of a key at a time: what is added during a turn leads to another one after it. Failures are repeated after
 * a delay that grows; an addition during the delay does not shorten it, so that an object that changes all the
 * time cannot cause a busy loop of failures.
 */
export function createWorkQueue(options: WorkQueueOptions): WorkQueue {
  const { work, onError, concurrency = 4, retryDelay = 1000, maxDelay = 60_000 } = options
  const waiting = new Set<string>()
  const running = new Map<string, Promise<void>>()
  const failures = new Map<string, number>()
  const timers = new Map<string, NodeJS.Timeout>()
  let isClosed = false

  const later = (key: string, delay: number): void => {
    clearTimeout(timers.get(key))
    timers.delete(key)
    if (isClosed) return
    const timer = setTimeout(() => {
      timers.delete(key)
      enqueue(key)
    }, delay)
    timers.set(key, timer.unref())
  }

  const enqueue = (key: string): void => {
    if (isClosed) return
    waiting.add(key)
    pump()
  }

  const turn = async (key: string): Promise<void> => {
    try {
      const next = await work(key)
      failures.delete(key)
      if (next !== undefined) later(key, next)
    } catch (error) {
      const failed = (failures.get(key) ?? 0) + 1
      failures.set(key, failed)
      onError(key, error)
      later(key, Math.min(maxDelay, retryDelay * 2 ** (failed - 1)))
    } finally {
      running.delete(key)
      pump()
    }
  }

  const pump = (): void => {
    for (const key of waiting) {
      if (isClosed || running.size >= concurrency) return
      if (running.has(key) || failedAgo(key)) continue
      waiting.delete(key)
      clearTimeout(timers.get(key))
      timers.delete(key)
      running.set(key, turn(key))
    }
  }

  /** It waits for its repetition. */
  const failedAgo = (key: string): boolean => failures.has(key) && timers.has(key)

  return {
    add: enqueue,
    close: async () => {
      isClosed = true
      for (const timer of timers.values()) clearTimeout(timer)
      await Promise.all(running.values())
    },
  }
}
