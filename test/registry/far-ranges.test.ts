import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Content } from '../../src/oci/content.ts'
import { createFarRanges, createRangeSlots } from '../../src/registry/far-ranges.ts'
import { randomBlob } from '../support/images.ts'

const { digest, bytes } = randomBlob(1000)
const size = 20_000_000

test('readers of one range share its request, its bytes and its slot', async () => {
  const slots = createRangeSlots()
  const { free } = slots
  const gate = Promise.withResolvers<void>()
  let requests = 0
  const far = createFarRanges({
    openRange: async (first) => {
      requests += 1
      await gate.promise
      const body = (async function* () {
        yield [bytes]
      })()
      return { size, from: first, body: body as never, drop: () => {} }
    },
    slots,
    signal: new AbortController().signal,
    onBytes: () => {},
    onMismatch: () => {},
  })
  const content: Content = {
    digest,
    size,
    next: () => assert.fail('waits for the download'),
    close: () => {},
  }
  const readers = Array.from({ length: free + 2 }, () => far.reader(content, () => 0))
  const pieces = readers.map((reader) => reader.next(size - bytes.length, size))
  gate.resolve()
  for (const piece of await Promise.all(pieces)) assert.deepEqual(piece, { kind: 'bytes', bytes })
  assert.deepEqual([requests, slots.free], [1, free - 1])
  for (const reader of readers) reader.close(false)
  assert.equal(slots.free, free)
})
