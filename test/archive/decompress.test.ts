import assert from 'node:assert/strict'
import { test } from 'node:test'
import { constants, gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { ArchiveError } from '../../src/archive/archive.ts'
import { type Compression, decompress } from '../../src/archive/decompress.ts'
import { defaultLimits } from '../../src/archive/limits.ts'
import { bytesOf } from '../support/archives.ts'

/** In pieces that end anywhere. */
async function* cut(bytes: Buffer, pieceSize: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += pieceSize) yield bytes.subarray(at, at + pieceSize)
}

function plain(bytes: Buffer, compression: Compression, pieceSize = bytes.length) {
  const chunks = cut(bytes, Math.max(pieceSize, 1))
  return bytesOf(decompress({ chunks, size: bytes.length, compression }, defaultLimits))
}

/** RFC 8878, section 3.1.2. */
function skippable(content: Buffer, kind: number): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32LE(0x184d2a50 + kind, 0)
  header.writeUInt32LE(content.length, 4)
  return Buffer.concat([header, content])
}

function zstd(content: Buffer, checksum: boolean, contentSize: boolean): Buffer {
  return zstdCompressSync(content, {
    params: {
      [constants.ZSTD_c_checksumFlag]: checksum ? 1 : 0,
      [constants.ZSTD_c_contentSizeFlag]: contentSize ? 1 : 0,
    },
  })
}

/** Contents that compress, contents that do not, and such that are many blocks of one byte. */
const anyContent = fc.oneof(
  fc.uint8Array({ maxLength: 2000 }),
  fc.record({ byte: fc.nat(255), length: fc.nat(400_000) }).map((run) => {
    return Buffer.alloc(run.length, run.byte)
  }),
)

const anyFrame = fc.oneof(
  fc.record({ content: anyContent, checksum: fc.boolean(), contentSize: fc.boolean() }),
  fc.record({ skipped: fc.uint8Array({ maxLength: 300 }), kind: fc.nat(15) }),
)

test('all frames of a zstd file are read, wherever its pieces end (pzstd, zstd:chunked)', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyFrame, { maxLength: 8 }),
      fc.integer({ min: 1, max: 200_000 }),
      async (frames, pieceSize) => {
        fc.pre(frames.some((frame) => 'content' in frame))
        const contents: Buffer[] = []
        const parts = frames.map((frame) => {
          if ('skipped' in frame) return skippable(Buffer.from(frame.skipped), frame.kind)
          contents.push(Buffer.from(frame.content))
          return zstd(Buffer.from(frame.content), frame.checksum, frame.contentSize)
        })
        const bytes = Buffer.concat(parts)
        const read = await plain(bytes, 'zstd', pieceSize)
        assert.ok(read.equals(Buffer.concat(contents)), `${read.length} bytes`)
      },
    ),
    { numRuns: 60 },
  )
})

test('a zstd file that is cut, or that ends in other bytes, is refused', async () => {
  const frames = Buffer.concat([
    zstdCompressSync('one'),
    zstdCompressSync(Buffer.alloc(300_000, 7)),
  ])
  const first = zstdCompressSync('one').length
  for (let length = 1; length < frames.length; length += 1) {
    if (length === first) continue
    await assert.rejects(plain(frames.subarray(0, length), 'zstd'), { fault: 'incomplete' })
  }
  for (const rest of ['x', 'not a frame', gzipSync('a member')])
    await assert.rejects(
      plain(Buffer.concat([frames, Buffer.from(rest)]), 'zstd'),
      (error) => error instanceof ArchiveError && ['invalid', 'incomplete'].includes(error.fault),
    )
})

test('all members of a gzip file are read', async () => {
  const members = ['one', 'two', ''].map((text) => gzipSync(text))
  assert.equal((await plain(Buffer.concat(members), 'gzip', 7)).toString(), 'onetwo')
})

test('a zstd window that is too large is named, with what to do', async () => {
  // RFC 8878, section 3.1.1.1.2: a window descriptor, and an empty last block.
  const frame = (windowLog: number) =>
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - 10) << 3, 1, 0, 0])
  assert.equal((await plain(frame(27), 'zstd')).length, 0)
  await assert.rejects(plain(frame(28), 'zstd'), { fault: 'invalid', message: /--long=27/ })
})
