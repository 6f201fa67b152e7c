import type { SuiteContext, TestContext } from 'node:test'

/** The monotonic clock and timers, stopped until a test advances them. */
export interface Clock {
  /** In milliseconds. */
  advance(by: number): void
}

/**
 * For what waits seconds or minutes, until the end of the test. Timers go on as usual unless they are
 * named; Date stands still with them.
 */
export function useClock(
  t: TestContext | SuiteContext,
  timers: readonly 'setTimeout'[] = [],
): Clock {
  if (!('mock' in t)) throw new Error('the clock belongs to one test')
  // Whole, so that sums of steps are exact.
  let now = Math.ceil(performance.now())
  t.mock.method(performance, 'now', () => now)
  if (timers.length > 0) t.mock.timers.enable({ apis: [...timers, 'Date'], now: Date.now() })
  return {
    advance: (by) => {
      now += by
      if (timers.length > 0) t.mock.timers.tick(by)
    },
  }
}

/** The monotonic clock, running, which a test can advance. Timers are not affected. */
export function useForwardClock(t: TestContext | SuiteContext): Clock {
  if (!('mock' in t)) throw new Error('the clock belongs to one test')
  const now = performance.now.bind(performance)
  let ahead = 0
  t.mock.method(performance, 'now', () => now() + ahead)
  return {
    advance: (by) => {
      ahead += by
    },
  }
}
