import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { decompress } from '../../src/archive/decompress.ts'
import { gzipBlocks } from '../../src/archive/gzip-blocks.ts'
import { defaultLimits } from '../../src/archive/limits.ts'
import { zstdBlocks } from '../../src/archive/zstd-blocks.ts'
import { bytesOf } from '../support/archives.ts'

const mebibyte = 1024 * 1024
const text = Buffer.from('the quick brown fox jumps over the lazy dog\n'.repeat(24_000))

/** Chunks of the bytes, as copies: they are freed. */
async function* cut(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size)
    yield Buffer.copyBytesFrom(bytes.subarray(at, at + size))
}

const contents: Readonly<Record<string, Buffer>> = {
  nothing: Buffer.alloc(0),
  'one byte': Buffer.from('x'),
  text,
  'random bytes': randomBytes(mebibyte + 1),
  'text between random bytes': Buffer.concat([randomBytes(mebibyte), text, randomBytes(100_000)]),
}

for (const [what, bytes] of Object.entries(contents)) {
  test(`${what}: zstd returns the same bytes, however they arrived`, async () => {
    const packed = await bytesOf(zstdBlocks(cut(bytes, 256 * 1024)))
    const chunks = cut(packed, 100_000)
    const compressed = { chunks, size: packed.length, compression: 'zstd' } as const
    assert.deepEqual(await bytesOf(decompress(compressed, defaultLimits)), bytes)
    for (const size of [1000, 5 * mebibyte])
      assert.deepEqual(await bytesOf(zstdBlocks(cut(bytes, size))), packed)
  })

  test(`${what}: gunzip returns the same bytes, however they arrived`, async () => {
    const packed = await bytesOf(gzipBlocks(cut(bytes, 256 * 1024)))
    assert.deepEqual(gunzipSync(packed), bytes)
    for (const size of [1000, 300_000, 5 * mebibyte])
      assert.deepEqual(await bytesOf(gzipBlocks(cut(bytes, size))), packed)
  })
}

test('a higher level makes a program smaller', async () => {
  const program = (await readFile(process.execPath)).subarray(20 * mebibyte, 22 * mebibyte)
  for (const [compress, low, high] of [
    [gzipBlocks, 1, 9],
    [zstdBlocks, 1, 12],
  ] as const) {
    const [large, small] = [
      await bytesOf(compress(cut(program, mebibyte), low)),
      await bytesOf(compress(cut(program, mebibyte), high)),
    ]
    assert.ok(small.length < large.length, `${small.length} and ${large.length} bytes`)
  }
})

test('text becomes smaller, and random bytes hardly larger', async () => {
  const packed = await bytesOf(gzipBlocks(cut(text, 256 * 1024)))
  assert.ok(packed.length < text.length / 20)
  const random = await bytesOf(gzipBlocks(cut(randomBytes(mebibyte), 256 * 1024)))
  assert.ok(random.length < mebibyte + 1000)
})

test('many at a time return what one alone does', async () => {
  const bytes = Buffer.concat(Array.from({ length: 10 }, () => text))
  const alone = await bytesOf(gzipBlocks(cut(bytes, 256 * 1024)))
  const all = await Promise.all(
    Array.from({ length: 5 }, () => bytesOf(gzipBlocks(cut(bytes, 256 * 1024)))),
  )
  for (const each of all) assert.deepEqual(each, alone)
})

test('a reader that leaves ends the compression', async () => {
  let isClosed = false
  async function* endless(): AsyncGenerator<Buffer> {
    try {
      for (;;) yield Buffer.alloc(256 * 1024)
    } finally {
      isClosed = true
    }
  }
  for await (const chunk of gzipBlocks(endless())) if (chunk.length > 100) break
  assert.ok(isClosed)
})
