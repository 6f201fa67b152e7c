import { setImmediate as nextTurn } from 'node:timers/promises'

/**
 * Limits the work in one turn of the event loop, so that other requests come in between. Resolves when
 * `amount` more may be done at once; more than `max` is done alone.
 */
export function limitPerTurn(max: number): (amount: number) => Promise<void> {
  let used = 0
  let end: Promise<void> | undefined
  const untilEnd = async () => {
    await nextTurn()
    used = 0
    end = undefined
  }
  return async (amount) => {
    while (used > 0 && used + amount > max) await end
    used += amount
    end ??= untilEnd()
  }
}
