import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatTable } from '../../src/cli/output/table.ts'

test('a table of 200,000 rows has columns as wide as their longest cell', () => {
  const rows = Array.from({ length: 200_000 }, (_, index) => [`tag${index}`, ''])
  const lines = formatTable(['TAG', 'SIZE'], rows).split('\n')
  assert.equal(lines.length, 200_001)
  assert.deepEqual([lines[0], lines.at(-1)], ['TAG        SIZE', 'tag199999  -'])
})
