import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAllowance } from '../../src/tunnel/allowance.ts'

const mebibyte = 1024 * 1024

function createMemory(max: number) {
  let used = 0
  const reserve = (bytes: number) => {
    if (used + bytes > max) return undefined
    used += bytes
    return () => {
      used -= bytes
    }
  }
  return { reserve, used: () => used }
}

test('an allowance grows to its maximum while there is memory, and gives back what is not used', () => {
  const memory = createMemory(100 * mebibyte)
  const allowance = createAllowance({ base: mebibyte, max: 16 * mebibyte, reserve: memory.reserve })
  assert.equal(allowance.grow(1), mebibyte)
  assert.equal(memory.used(), 0)
  assert.ok(allowance.grow(5 * mebibyte) >= 5 * mebibyte)
  const most = allowance.grow(1000 * mebibyte)
  assert.ok(most >= 16 * mebibyte && memory.used() === most - mebibyte)
  allowance.shrink(6 * mebibyte)
  assert.ok(allowance.grow(0) >= 6 * mebibyte && memory.used() < most - mebibyte)
  allowance.shrink(0)
  assert.equal(memory.used(), 0)
})

test('without memory an allowance stays what it is', () => {
  const memory = createMemory(3 * mebibyte)
  const allowance = createAllowance({ base: mebibyte, max: 16 * mebibyte, reserve: memory.reserve })
  const size = allowance.grow(16 * mebibyte)
  assert.equal(size, mebibyte + memory.used())
  assert.equal(allowance.grow(16 * mebibyte), size)
})
