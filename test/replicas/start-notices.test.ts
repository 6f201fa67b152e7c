import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { announceStart } from '../../src/replicas/start-notices.ts'

test('a lookup of the replicas that does not end does not delay the end of the process', async () => {
  const closing = new AbortController()
  const announced = announceStart({
    members: {
      own: '192.0.2.9:1',
      before: () => [],
      others: () => [],
      failed: () => {},
      started: () => {},
      all: () => ['192.0.2.9:1'],
      lookedUp: new Promise(() => {}),
      close: () => {},
    },
    notify: async () => true,
    signal: closing.signal,
  })
  let isOver = false
  announced.then(() => {
    isOver = true
  })
  closing.abort()
  await turn()
  assert.ok(isOver)
})
