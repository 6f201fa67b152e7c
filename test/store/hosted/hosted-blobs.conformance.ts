import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRunId } from '../../../src/store/store.ts'
import { readAll } from '../../support/content.ts'
import { all, pushBlob } from '../../support/hosted-store.ts'
import { blobOf, randomBlob } from '../../support/images.ts'
import { testBlobSource } from '../blob-source.conformance.ts'
import type { MakeStore, StoreUnderTest } from './uploads.conformance.ts'

/** What everyone may rely on who stores blobs for good, wherever they are stored. */
export function testHostedBlobs(name: string, make: MakeStore): void {
  testBlobSource(`${name}, put`, async (t, blobs) => {
    const { store } = await make(t)
    for (const { digest, bytes } of blobs) await store.blobs.put(digest, bytes)
    return store.blobs
  })

  testBlobSource(`${name}, uploaded and restarted`, async (t, blobs) => {
    const tested = await make(t)
    for (const blob of blobs) await pushBlob(tested.store, blob)
    return (await tested.restarted()).store.blobs
  })

  testBlobSource(`${name}, restored from the trash`, async (t, blobs) => {
    const { store } = await make(t)
    for (const blob of blobs) {
      await pushBlob(store, blob)
      assert.equal(await store.blobs.remove(blob.digest, createRunId()), true)
    }
    return store.blobs
  })

  const testCleanly = (what: string, behave: (tested: StoreUnderTest) => Promise<unknown>) =>
    test(`${name}: ${what}`, async (t) => {
      const tested = await make(t)
      await behave(tested)
      assert.deepEqual(await tested.leftovers(), [])
    })

  testCleanly('bytes of another digest are not put', async ({ store }) => {
    const { digest } = randomBlob(10)
    await assert.rejects(store.blobs.put(digest, Buffer.from('x')), { code: 'DIGEST_INVALID' })
    assert.equal(await store.blobs.stat(digest), undefined)
  })

  testCleanly('a blob may be put often, and at the same time', async ({ store }) => {
    const { digest, bytes } = randomBlob(1000)
    await Promise.all(Array.from({ length: 10 }, () => store.blobs.put(digest, bytes)))
    assert.deepEqual(await store.blobs.read(digest, 1000), bytes)
    assert.equal((await all(store.blobs.list())).length, 1)
  })

  testCleanly('all blobs are listed, and none that was removed', async (tested) => {
    const { store, clockStep = 20 } = tested
    const started = Date.now()
    const blobs = [...Array.from({ length: 150 }, (_, at) => randomBlob(at)), randomBlob(2 ** 21)]
    const long = blobOf(Buffer.from('long'), 'sha512')
    await Promise.all([...blobs, long].map(({ digest, bytes }) => store.blobs.put(digest, bytes)))
    const removed = randomBlob(10)
    await pushBlob(store, removed)
    await store.blobs.remove(removed.digest, createRunId())
    const listed = await all(store.blobs.list())
    assert.deepEqual(
      listed.map(({ digest, size }) => `${digest} ${size}`).toSorted(),
      [...blobs, long].map(({ digest, bytes }) => `${digest} ${bytes.length}`).toSorted(),
    )
    // A file system's clock is a few milliseconds behind, and dates of a bucket have whole seconds.
    const earliest = started - 50 - clockStep
    assert.ok(listed.every(({ modified }) => modified > earliest && modified <= Date.now()))
  })

  testCleanly('a missing blob cannot be removed', async ({ store }) => {
    assert.equal(await store.blobs.remove(randomBlob(1).digest, createRunId()), false)
    assert.deepEqual(await store.trash.runs(), [])
  })

  testCleanly('a reader keeps reading a blob that is removed (H128)', async ({ store }) => {
    const blob = randomBlob(3_000_000)
    await pushBlob(store, blob)
    const content = await store.blobs.open(blob.digest)
    assert.ok(content)
    const run = createRunId()
    const body = await readAll(content, {
      before: async (position) => {
        if (position > 0) return
        assert.equal(await store.blobs.remove(blob.digest, run), true)
        await store.trash.free({ run })
      },
    })
    assert.ok(body.equals(blob.bytes))
    assert.equal(await store.blobs.open(blob.digest), undefined)
  })
}
