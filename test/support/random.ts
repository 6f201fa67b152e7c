import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'

/** Random choices that can be repeated. */
export type Random = {
  /** An integer from 0 to `below`, exclusive. */
  integer(below: number): number
  pick<Item>(items: readonly Item[]): Item
}

/** The seed is that of `$SEED`, or a new one; it is printed with the test. */
export function createRandom(t: TestContext): Random {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 32))
  t.diagnostic(`SEED=${seed}`)
  let state = seed >>> 0
  // Mulberry32.
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const integer = (below: number): number => Math.floor(next() * below)
  return {
    integer,
    pick: (items) => {
      const item = items[integer(items.length)]
      assert.ok(item !== undefined, 'nothing to pick from')
      return item
    },
  }
}
