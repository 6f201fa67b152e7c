import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { bytesIn, freeChunks, withoutFirst } from '../../src/memory/chunks.ts'

const pieces = fc.array(fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)))

test('withoutFirst returns the rest, without empty chunks', () => {
  fc.assert(
    fc.property(pieces, fc.nat(100), (chunks, bytes) => {
      const rest = withoutFirst(chunks, bytes)
      assert.deepEqual(Buffer.concat(rest), Buffer.concat(chunks).subarray(bytes))
      assert.equal(bytesIn(rest), Math.max(0, bytesIn(chunks) - bytes))
      assert.ok(rest.every(({ length }) => length > 0))
    }),
  )
})

test('freeChunks releases chunks that own their memory, and no others', () => {
  const own = Buffer.from(new ArrayBuffer(100))
  const shared = new ArrayBuffer(100)
  const parts = [Buffer.from(shared, 0, 50), Buffer.from(shared, 50)]
  const pooled = Buffer.from('a few bytes')
  const empty = Buffer.alloc(0)
  freeChunks([own, ...parts, pooled, empty])
  assert.equal(own.length, 0)
  assert.equal(own.buffer.byteLength, 0)
  assert.equal(bytesIn(parts), 100)
  assert.equal(pooled.toString(), 'a few bytes')
  assert.equal(empty.buffer.detached, false)
})
