import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectionsWithin, maxOpenFiles, surplusWithin } from '../../src/memory/memory.ts'

const within = (openFiles: number | undefined, listeners = 1) =>
  connectionsWithin(openFiles, { configured: 4096, listeners })

test('as many connections are possible as there are files for, and never more than configured', () => {
  assert.equal(within(undefined), 4096)
  assert.equal(within(1_048_576), 4096)
  assert.equal(within(1024), 240)
  assert.equal(within(1024, 3), 80)
  for (const openFiles of [0, 64, 80]) assert.equal(within(openFiles), 4)
})

test('connections above the limit have an eighth of the files', () => {
  assert.equal(surplusWithin(undefined, 256), 256)
  assert.equal(surplusWithin(1_048_576, 256), 256)
  assert.equal(surplusWithin(1024, 256), 120)
  assert.equal(surplusWithin(64, 256), 4)
})

test('the system says how many files this process may open', {
  skip: process.platform !== 'linux',
}, () => {
  assert.ok(Number(maxOpenFiles()) > 64)
})
