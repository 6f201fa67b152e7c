import assert from 'node:assert/strict'
import { test } from 'node:test'
import { discard, retain, track } from '../../src/tunnel/read-bytes.ts'

const read = () => Buffer.from(new ArrayBuffer(1000))

test('bytes of one read are freed by the last reader of a part', () => {
  const bytes = read()
  const [one, other] = [bytes.subarray(0, 400), bytes.subarray(400)]
  track(bytes)
  retain(one)
  retain(other)
  discard(bytes)
  discard(other)
  assert.equal(bytes.length, 1000)
  discard(one)
  assert.equal(bytes.length, 0)
})

test('bytes that are not tracked are freed by their only reader', () => {
  const bytes = read()
  discard(bytes)
  assert.equal(bytes.length, 0)
})

test('a part of memory that others may read is not freed', () => {
  const bytes = read()
  const part = bytes.subarray(1)
  track(part)
  retain(part)
  discard(part)
  discard(part)
  discard(part)
  assert.equal(bytes.length, 1000)
})
