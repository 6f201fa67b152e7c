import assert from 'node:assert/strict'
import { test } from 'node:test'
import { statusLabel } from '../../src/remote/status-label.ts'

test('any statuses of an upstream become few labels (issue 53)', () => {
  const labels = new Set(Array.from({ length: 900 }, (_, at) => statusLabel(at + 100)))
  assert.ok(labels.size < 35, `${labels.size} labels`)
  assert.deepEqual([200, 418, 599].map(statusLabel), ['200', '4XX', '5XX'])
})
