import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  createFrameParser,
  encodeFrame,
  encodeNumber,
  maxPayload,
  payloadOf,
  readNumber,
} from '../../src/tunnel/frame.ts'
import { TunnelError } from '../../src/tunnel/tunnel-error.ts'

const types = ['hello', 'ping', 'open', 'data', 'credit', 'end', 'reset'] as const
const parts = {
  type: fc.constantFrom(...types),
  stream: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
}
const frames = fc.array(fc.record(parts, { noNullPrototype: true }))

test('frames come back whole and in order, however their bytes are split', () => {
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 400 })), (sent, sizes) => {
      const bytes = Buffer.concat(sent.map((one) => encodeFrame(one.type, one.stream, one.payload)))
      const received: unknown[] = []
      const parse = createFrameParser((frame) => {
        const { type, stream } = frame
        received.push({ type, stream, payload: payloadOf(frame) })
      })
      let rest = bytes
      for (const size of [...sizes, bytes.length]) {
        parse(rest.subarray(0, size))
        rest = rest.subarray(size)
      }
      assert.deepEqual(received, sent)
    }),
  )
})

test('bytes that are no frames are refused before their length is waited for', () => {
  const parse = createFrameParser(() => {})
  assert.throws(() => parse(Buffer.from('/bin/sh: berth: not found')), TunnelError)
  const tooLong = encodeFrame('data', 1)
  tooLong.writeUIntBE(maxPayload + 1, 5, 3)
  assert.throws(() => createFrameParser(() => {})(tooLong), /too long/)
})

test('nothing but a TunnelError is thrown for any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        createFrameParser(() => {})(Buffer.from(bytes))
      } catch (error) {
        assert.ok(error instanceof TunnelError)
      }
    }),
  )
})

test('a number survives its frame, and a frame of another size is refused', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), (value) => {
      const received: number[] = []
      createFrameParser((frame) => received.push(readNumber(frame)))(
        encodeNumber('credit', 7, value),
      )
      assert.deepEqual(received, [value])
    }),
  )
  assert.throws(
    () => readNumber({ type: 'credit', stream: 1, parts: [Buffer.alloc(3)] }),
    TunnelError,
  )
})
