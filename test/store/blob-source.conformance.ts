import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { BlobSource } from '../../src/store/store.ts'
import { readAll } from '../support/content.ts'
import { type Blob, blobOf, randomBlob } from '../support/images.ts'

/** A source that has these blobs and no others. */
type MakeSource = (t: TestContext, blobs: readonly Blob[]) => Promise<BlobSource>

/** What everyone may rely on who reads blobs, wherever they lie. */
export function testBlobSource(name: string, make: MakeSource): void {
  const read = async (source: BlobSource, { digest }: Blob, from = 0) => {
    const content = await source.open(digest)
    return content && readAll(content, { from })
  }

  test(`${name}: a missing blob is undefined`, async (t) => {
    const source = await make(t, [])
    const { digest } = randomBlob(10)
    assert.equal(await source.open(digest), undefined)
    assert.equal(await source.open(digest, { ranged: true }), undefined)
    assert.equal(await source.read(digest, 1000), undefined)
    assert.equal(await source.stat(digest), undefined)
  })

  for (const size of [1, 64 * 1024, 64 * 1024 + 1, 3_000_000]) {
    test(`${name}: a blob of ${size} bytes is read as it was stored`, async (t) => {
      const blob = randomBlob(size)
      const source = await make(t, [blob])
      assert.deepEqual(await read(source, blob), blob.bytes)
      assert.deepEqual(await read(source, blob, size - 1), blob.bytes.subarray(-1))
      assert.deepEqual(await source.read(blob.digest, size), blob.bytes)
      assert.deepEqual(await source.stat(blob.digest), { size })
    })

    test(`${name}: parts of a blob of ${size} bytes are read as they were stored`, async (t) => {
      const blob = randomBlob(size)
      const source = await make(t, [blob])
      for (const from of [0, size >> 1, size - 1]) {
        const content = await source.open(blob.digest, { ranged: true })
        assert.ok(content && (await readAll(content, { from })).equals(blob.bytes.subarray(from)))
      }
    })
  }

  test(`${name}: an empty blob is stored, and is empty (P9)`, async (t) => {
    const blob = blobOf(Buffer.alloc(0))
    const source = await make(t, [blob])
    assert.deepEqual(await read(source, blob), blob.bytes)
    assert.deepEqual(await source.read(blob.digest, 0), blob.bytes)
    assert.deepEqual(await source.stat(blob.digest), { size: 0 })
  })

  test(`${name}: a blob may have a sha512 digest (P8)`, async (t) => {
    const blob = blobOf(Buffer.from('long'), 'sha512')
    const source = await make(t, [blob])
    assert.deepEqual(await read(source, blob), blob.bytes)
    assert.deepEqual(await source.read(blob.digest, 1000), blob.bytes)
  })

  test(`${name}: a blob larger than the limit is not read into memory`, async (t) => {
    const blob = randomBlob(1000)
    const source = await make(t, [blob])
    assert.equal(await source.read(blob.digest, 999), undefined)
  })

  test(`${name}: many readers read one blob at the same time, each at its own pace`, async (t) => {
    const blob = randomBlob(1_000_000)
    const source = await make(t, [blob])
    const bodies = await Promise.all(
      Array.from({ length: 20 }, (_, at) => read(source, blob, at * 50_000)),
    )
    for (const [at, body] of bodies.entries())
      assert.ok(body?.equals(blob.bytes.subarray(at * 50_000)))
  })

  test(`${name}: a content may be closed unread, and twice`, async (t) => {
    const blob = randomBlob(1_000_000)
    const source = await make(t, [blob])
    const content = await source.open(blob.digest)
    content?.close()
    content?.close()
    assert.deepEqual(await read(source, blob), blob.bytes)
  })
}
