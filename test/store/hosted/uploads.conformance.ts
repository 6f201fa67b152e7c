import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { digestOf } from '../../../src/oci/digest.ts'
import { parseRepositoryName } from '../../../src/oci/reference.ts'
import { createUploadId } from '../../../src/oci/upload-id.ts'
import type { HostedStore } from '../../../src/store/store.ts'
import { all, app, startUpload } from '../../support/hosted-store.ts'
import { blobOf, randomBlob } from '../../support/images.ts'

export type StoreUnderTest = {
  readonly store: HostedStore
  /** See LinksUnderTest. */
  readonly clockStep?: number
  leftovers(): Promise<readonly string[]>
  restarted(): Promise<StoreUnderTest>
}

export type MakeStore = (t: TestContext) => Promise<StoreUnderTest>

const mebibyte = 1024 * 1024

/** What everyone may rely on who uploads blobs, wherever they are stored. */
export function testUploads(name: string, make: MakeStore): void {
  const testCleanly = (what: string, behave: (tested: StoreUnderTest) => Promise<unknown>) =>
    test(`${name}: ${what}`, async (t) => {
      const tested = await make(t)
      await behave(tested)
      assert.deepEqual(await tested.leftovers(), [])
    })

  for (const size of [0, 1, 1000, 3 * mebibyte + 17]) {
    testCleanly(`a blob of ${size} bytes is stored as it was uploaded (H114)`, async (tested) => {
      const { store } = tested
      const blob = randomBlob(size)
      const upload = await startUpload(store)
      for (let at = 0; at < size; at += 100_000)
        await upload.append([blob.bytes.subarray(at, at + 100_000)])
      assert.equal(upload.size, size)
      assert.deepEqual(await upload.commit(blob.digest), { size })
      assert.deepEqual(await store.blobs.read(blob.digest, size), blob.bytes)
      assert.equal(await store.uploads.open(app, upload.id), undefined)
      assert.deepEqual(await all(store.uploads.list()), [])
    })
  }

  testCleanly(
    'a blob is stored under a sha512 digest, announced or not (P8)',
    async ({ store }) => {
      for (const algorithm of ['sha256', 'sha512'] as const) {
        const blob = blobOf(randomBytes(2 * mebibyte), 'sha512')
        const upload = await store.uploads.create(app, { writer: 'anonymous', algorithm })
        await upload.append([blob.bytes])
        await upload.commit(blob.digest)
        assert.deepEqual(await store.blobs.stat(blob.digest), { size: blob.bytes.length })
      }
    },
  )

  testCleanly('the pieces of an append are stored in order', ({ store }) =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.array(fc.uint8Array({ maxLength: 5 }))), async (appends) => {
        const upload = await startUpload(store)
        for (const chunks of appends) await upload.append(chunks.map((chunk) => Buffer.from(chunk)))
        const bytes = Buffer.concat(appends.flat())
        assert.equal(upload.size, bytes.length)
        await upload.commit(digestOf(bytes))
        assert.deepEqual(await store.blobs.read(digestOf(bytes), bytes.length), bytes)
      }),
      { numRuns: 20 },
    ),
  )

  testCleanly(
    'a wrong digest is refused, nothing is stored, and the session continues (H118)',
    async ({ store }) => {
      const blob = randomBlob(1000)
      const upload = await startUpload(store)
      await upload.append([blob.bytes.subarray(0, 999)])
      await assert.rejects(upload.commit(blob.digest), { code: 'DIGEST_INVALID' })
      assert.equal(await store.blobs.stat(blob.digest), undefined)
      assert.deepEqual(await all(store.blobs.list()), [])
      await upload.append([blob.bytes.subarray(999)])
      await upload.commit(blob.digest)
      assert.deepEqual(await store.blobs.read(blob.digest, 1000), blob.bytes)
    },
  )

  testCleanly('bytes can be dropped from the end of a session', async ({ store }) => {
    const blob = randomBlob(2 * mebibyte)
    const upload = await startUpload(store)
    await upload.append([blob.bytes.subarray(0, mebibyte)])
    await upload.append([Buffer.from('broken off')])
    await upload.truncate(mebibyte)
    assert.equal(upload.size, mebibyte)
    await upload.append([blob.bytes.subarray(mebibyte)])
    await upload.commit(blob.digest)
    assert.deepEqual(await store.blobs.stat(blob.digest), { size: 2 * mebibyte })
  })

  testCleanly('a session that was cancelled is gone (H120)', async ({ store }) => {
    const upload = await startUpload(store)
    await upload.append([Buffer.from('x')])
    await upload.cancel()
    assert.equal(await store.uploads.open(app, upload.id), undefined)
    assert.deepEqual(await all(store.uploads.list()), [])
    for (const late of [
      () => upload.append([Buffer.from('y')]),
      () => upload.commit(digestOf(Buffer.from('x'))),
      () => upload.cancel(),
    ])
      await assert.rejects(late, { code: 'BLOB_UPLOAD_UNKNOWN' })
  })

  testCleanly('a session belongs to one repository', async ({ store }) => {
    const upload = await startUpload(store)
    const { uploads } = store
    assert.equal(await uploads.open(app, createUploadId()), undefined)
    for (const other of ['team', 'team/app/x', 'other'])
      assert.equal(await uploads.open(parseRepositoryName(other), upload.id), undefined)
    const found = await uploads.open(app, upload.id)
    assert.equal(found, upload)
    await upload.cancel()
  })

  testCleanly('a session survives a restart, with its bytes and its writer', async (tested) => {
    const blob = randomBlob(2 * mebibyte)
    const before = await tested.store.uploads.create(app, {
      writer: 'user bob',
      algorithm: 'sha512',
    })
    await before.append([blob.bytes.subarray(0, mebibyte)])
    const { store } = await tested.restarted()
    const upload = await store.uploads.open(app, before.id)
    assert.ok(upload)
    assert.deepEqual([upload.writer, upload.size], ['user bob', mebibyte])
    await upload.append([blob.bytes.subarray(mebibyte)])
    await upload.commit(blob.digest)
    assert.deepEqual(await store.blobs.stat(blob.digest), { size: 2 * mebibyte })
  })

  testCleanly('all sessions are listed, with the time of their last write', async (tested) => {
    const started = Date.now()
    const names = ['a', 'a/b', 'c'].map(parseRepositoryName)
    for (const repository of names) await startUpload(tested.store, repository)
    const written = await startUpload(tested.store)
    await written.append([Buffer.from('x')])
    for (const { store } of [tested, await tested.restarted()]) {
      const found = await all(store.uploads.list())
      assert.deepEqual(found.map((upload) => upload.name).toSorted(), [...names, app].toSorted())
      for (const { startedAt, lastWriteAt } of found) {
        // Times are in whole seconds, or of a file system's clock, a few milliseconds behind.
        assert.ok(startedAt > started - 1100 && startedAt <= Date.now())
        assert.ok(lastWriteAt >= startedAt)
      }
    }
  })

  testCleanly('two uploads of one blob at once are stored once (H121)', async ({ store }) => {
    const blob = randomBlob(2 * mebibyte)
    const uploads = await Promise.all(Array.from({ length: 10 }, () => startUpload(store)))
    await Promise.all(
      uploads.map(async (upload) => {
        await upload.append([blob.bytes.subarray(0, mebibyte)])
        await upload.append([blob.bytes.subarray(mebibyte)])
        assert.deepEqual(await upload.commit(blob.digest), { size: 2 * mebibyte })
      }),
    )
    const blobs = await all(store.blobs.list())
    assert.deepEqual(
      blobs.map(({ digest, size }) => ({ digest, size })),
      [{ digest: blob.digest, size: 2 * mebibyte }],
    )
    assert.deepEqual(await store.blobs.read(blob.digest, 2 * mebibyte), blob.bytes)
  })

  testCleanly('calls that overlap take effect one after the other (H124)', async ({ store }) => {
    const parts = Array.from({ length: 20 }, (_, at) => Buffer.alloc(10_000, at))
    const upload = await startUpload(store)
    await Promise.all(parts.map((part) => upload.append([part])))
    await upload.commit(digestOf(Buffer.concat(parts)))
  })

  testCleanly('many sessions are used in turn', async ({ store }) => {
    const parts = Array.from({ length: 300 }, (_, at) => Buffer.alloc(1000, at))
    const uploads = await Promise.all(parts.map(() => startUpload(store)))
    for (const _ of ['first half', 'second half'])
      for (const [at, upload] of uploads.entries()) await upload.append([parts[at] ?? Buffer.of()])
    for (const [at, upload] of uploads.entries()) {
      const part = parts[at] ?? Buffer.of()
      await upload.commit(digestOf(Buffer.concat([part, part])))
    }
  })
}
