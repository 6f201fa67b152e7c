import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createReservations } from '../../src/memory/reservations.ts'

const mebibyte = 1024 * 1024

test('long bodies leave a quarter of the memory to short requests (R206)', () => {
  const memory = createReservations(20 * mebibyte)
  const release = memory.reserve(14 * mebibyte)
  assert.equal(memory.reserve(2 * mebibyte), undefined)
  for (let at = 0; at < 6; at += 1) assert.ok(memory.reserve(mebibyte))
  assert.equal(memory.reserve(1), undefined)
  release?.()
  release?.()
  assert.equal(memory.used(), 6 * mebibyte)
})

test('a body that is larger than what long bodies may have fits if it is the only one, so that it is not refused forever', () => {
  const memory = createReservations(4 * mebibyte)
  const short = memory.reserve(mebibyte / 2)
  const release = memory.reserve(8 * mebibyte)
  assert.equal(memory.used(), 3 * mebibyte)
  assert.equal(memory.reserve(8 * mebibyte), undefined)
  assert.ok(memory.reserve(mebibyte / 4))
  release?.()
  short?.()
  assert.equal(memory.used(), mebibyte / 4)
  memory.reserve(mebibyte)
  assert.equal(memory.reserve(8 * mebibyte), undefined, 'when others have much, it waits')
})
