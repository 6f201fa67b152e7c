import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { limitPerTurn } from '../../src/memory/memory.ts'

test('work beyond the limit waits for the next turn, and more than the limit is done alone', async () => {
  const turn = limitPerTurn(10)
  const done: number[] = []
  for (const amount of [4, 6, 1, 20, 2]) void turn(amount).then(() => done.push(amount))
  await new Promise(process.nextTick)
  assert.deepEqual(done, [4, 6])
  await nextTurn()
  assert.deepEqual(done, [4, 6, 1, 2])
  await nextTurn()
  assert.deepEqual(done, [4, 6, 1, 2, 20])
})
