import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDigest } from '../../src/oci/digest.ts'
import { countUsage } from '../../src/registry/cached-usage.ts'

const digest = (digit: string) => parseDigest(`sha256:${digit.repeat(64)}`)
const [a, b, c, elsewhere, shared] = ['a', 'b', 'c', 'd', 'e'].map(digest)
assert.ok(a && b && c && elsewhere && shared)
const sizes = new Map([a, b, c, elsewhere, shared].map((each, at) => [each, 10 ** at]))

test('what several parts have is nobody’s own; the part without a name is not counted', async () => {
  const usage = await countUsage({
    parts: [
      ['one', [a, b]],
      ['two', [b, c, shared]],
      ['one', [a]],
      ['', [shared, elsewhere]],
    ],
    sizeOf: (each) => sizes.get(each),
  })
  assert.deepEqual(usage, {
    unique: 10111,
    own: 111,
    parts: [
      { part: 'one', unique: 11, own: 1 },
      { part: 'two', unique: 10110, own: 100 },
    ],
  })
})
