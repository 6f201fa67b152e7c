import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  areIntact,
  type BlockChecksums,
  blockSize,
  createBlockChecksummer,
  formatChecksums,
  formattedSize,
  parseChecksums,
} from '../../src/store/block-checksums.ts'
import { blobOf, randomBlob } from '../support/images.ts'

function checksumsOf(...pieces: readonly Buffer[]): BlockChecksums {
  const checksummer = createBlockChecksummer()
  for (const piece of pieces) checksummer.update(piece)
  return checksummer.finish()
}

test('checksums do not depend on the pieces in which the bytes arrive', () => {
  const bytes = randomBytes(4 * blockSize + 1)
  fc.assert(
    fc.property(fc.nat(bytes.length), fc.array(fc.nat(bytes.length)), (end, cuts) => {
      const bounds = [0, ...cuts.filter((cut) => cut < end), end].toSorted((a, b) => a - b)
      const pieces = bounds.map((from, at) => bytes.subarray(from, bounds[at + 1] ?? end))
      assert.deepEqual(checksumsOf(...pieces), checksumsOf(bytes.subarray(0, end)))
    }),
  )
})

test('formatted checksums are parsed again, for the same digest only', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200_000 }), (array) => {
      const { digest, bytes } = blobOf(Buffer.from(array))
      const checksums = checksumsOf(bytes)
      const formatted = formatChecksums(digest, checksums)
      assert.equal(formatted.length, formattedSize(bytes.length))
      assert.deepEqual(parseChecksums(digest, formatted), checksums)
      assert.equal(parseChecksums(randomBlob(10).digest, formatted), undefined)
    }),
    { numRuns: 30 },
  )
})

test('a file of checksums with a flipped bit, or truncated, is invalid', () => {
  const { digest, bytes } = randomBlob(3 * blockSize)
  const formatted = formatChecksums(digest, checksumsOf(bytes))
  for (let at = 0; at < formatted.length; at += 1) {
    const damaged = Buffer.from(formatted)
    damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at)
    assert.equal(parseChecksums(digest, damaged), undefined)
    assert.equal(parseChecksums(digest, formatted.subarray(0, at)), undefined)
  }
})

test('a flipped bit in a block is found, and does not affect other blocks', () => {
  const bytes = randomBytes(3 * blockSize - 100)
  const checksums = checksumsOf(bytes)
  assert.ok(areIntact(bytes, checksums, 0))
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), (at) => {
      const damaged = Buffer.from(bytes)
      damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at)
      for (const block of [0, 1, 2]) {
        const part = damaged.subarray(block * blockSize, (block + 1) * blockSize)
        assert.equal(areIntact(part, checksums, block), block !== Math.floor(at / blockSize))
      }
    }),
    { numRuns: 30 },
  )
})
