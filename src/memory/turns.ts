import { setImmediate as yieldToOthers } from 'node:timers/promises'

/**
 * Turns for work that holds the event loop for tens of milliseconds: resolves when it is one's turn.
 * Other requests come in between.
 */
export function createTurns(): () => Promise<unknown> {
  let last: Promise<unknown> = Promise.resolve()
  return () => {
    last = last.then(() => yieldToOthers()).then(() => yieldToOthers())
    return last
  }
}
