import type { TestContext } from 'node:test'

export interface Future {
  /** Puts the clocks forward, in milliseconds. */
  advance(by: number): void
}

/** Clocks that go on, and can be put forward. Timers know nothing of it. */
export function useFuture(t: TestContext): Future {
  const { now } = Date
  let ahead = 0
  t.mock.method(Date, 'now', () => now() + ahead)
  return {
    advance: (by) => {
      ahead += by
    },
  }
}
