import assert from 'node:assert/strict'
import { after, before, suite, type TestContext, test } from 'node:test'
import { isRegistryError } from '../../src/oci/errors.ts'
import {
  createRunId,
  type HostedStore,
  type ObjectStore,
  type RunId,
} from '../../src/store/store.ts'
import { testBlobSource } from '../store/blob-source.conformance.ts'
import { testHostedBlobs } from '../store/hosted/hosted-blobs.conformance.ts'
import { testHostedLinks } from '../store/hosted/hosted-links.conformance.ts'
import { testTrash } from '../store/hosted/trash.conformance.ts'
import { type Bucket, type BucketServer, bucketServers } from '../support/bucket-servers.ts'
import { bucketStore, watchedBucket } from '../support/bucket-store.ts'
import { all, app, pushBlob } from '../support/hosted-store.ts'
import { type Blob, randomBlob } from '../support/images.ts'
import { tagOf } from '../support/push-steps.ts'
import { until } from '../support/until.ts'

for (const server of bucketServers)
  suite(`hosted repositories in a bucket of ${server.name}`, () => testHosted(server))

function testHosted({ startBucket }: BucketServer): void {
  let bucket: Bucket
  let objects: ObjectStore

  before(async () => {
    bucket = await startBucket()
    objects = await bucket.open()
  })
  after(async () => {
    await objects.close()
    await bucket.close()
  })

  const make = (t: TestContext) => bucketStore(t, objects)
  testHostedBlobs('hosted blobs in a bucket', make)
  testHostedLinks('hosted links in a bucket', make)
  testTrash('a trash in a bucket', make)
  testBlobSource('blobs in a bucket, for pulls', async (t, blobs) => {
    const { store, another } = await make(t)
    for (const blob of blobs) await pushBlob(store, blob)
    return (await another()).store.reading?.blobs ?? assert.fail()
  })

  const inTrash = async (root: string): Promise<readonly string[]> =>
    (await all(objects.list(`${root}/_trash/`))).flatMap((page) =>
      page.objects.map(({ key }) => key),
    )

  /** In the order of a client; `done` says what was acknowledged. */
  const push = async (store: HostedStore, parts: Parts, done: (what: string) => void) => {
    const { layer, manifest } = parts
    await pushBlob(store, layer)
    done('layer')
    await store.blobs.put(manifest.digest, manifest.bytes)
    await store.links.addManifest(app, manifest.digest)
    done('manifest')
    await store.links.setTag(app, tagOf('v1'), manifest.digest)
    done('tag')
  }

  test('a push that ends at any of its requests loses nothing that was acknowledged, and can be repeated', async (t) => {
    for (let last = 0, isOver = false; !isOver; last += 1) {
      const parts = { layer: randomBlob(1000), manifest: randomBlob(100) }
      const { layer, manifest } = parts
      const killed = await bucketStore(
        t,
        watchedBucket(objects, async (count) => {
          // What is killed sends no further request, whatever it would do after a failure.
          if (count > last) throw new Error('killed')
        }),
      )
      const acknowledged = new Set<string>()
      await push(killed.store, parts, (what) => acknowledged.add(what)).catch(() => {})
      isOver = acknowledged.has('tag')
      const { store } = await bucketStore(t, objects, killed.root)
      if (acknowledged.has('layer')) {
        assert.equal(await store.links.hasBlob(app, layer.digest), true)
        assert.deepEqual(await store.blobs.read(layer.digest, 1000), layer.bytes)
      }
      if (acknowledged.has('manifest')) {
        assert.equal(await store.links.hasManifest(app, manifest.digest), true)
        assert.deepEqual(await store.blobs.read(manifest.digest, 1000), manifest.bytes)
      }
      const tag = await store.links.tag(app, tagOf('v1'))
      assert.ok(tag === undefined ? !acknowledged.has('tag') : acknowledged.has('manifest'))
      // Bytes without a link are listed, so that they are collected.
      const listed = (await all(store.blobs.list())).map(({ digest }) => digest)
      for (const { digest } of [layer, manifest])
        assert.equal(listed.includes(digest), (await store.blobs.stat(digest)) !== undefined)
      await push(store, parts, () => {})
      assert.equal((await store.links.tag(app, tagOf('v1')))?.digest, manifest.digest)
    }
  })

  test('a push at any moment of a deletion from the trash is refused, or its blob stays', async (t) => {
    const outcomes = new Set<string>()
    for (let moment = 1, isOver = false; !isOver; moment += 1) {
      const blob = randomBlob(1000)
      const pusher = await bucketStore(t, objects)
      await pushBlob(pusher.store, blob)
      const run = createRunId()
      assert.equal(await pusher.store.blobs.remove(blob.digest, run), true)
      let outcome: string | undefined
      const collecting = watchedBucket(objects, async (count) => {
        if (count !== moment) return
        outcome = await pushBlob(pusher.store, blob).then(
          () => 'pushed',
          (error: unknown) => (isRegistryError(error, 'UNAVAILABLE') ? 'refused' : String(error)),
        )
      })
      const collector = await bucketStore(t, collecting, pusher.root)
      await collector.store.trash.free({ run })
      isOver = outcome === undefined
      if (outcome !== undefined) outcomes.add(outcome)
      const { store } = await bucketStore(t, objects, pusher.root)
      const bytes = await store.blobs.read(blob.digest, 1000)
      assert.deepEqual(bytes, outcome === 'pushed' ? blob.bytes : undefined, `at ${moment}`)
    }
    assert.deepEqual([...outcomes].toSorted(), ['pushed', 'refused'])
  })

  test('of two deletions from the trash at once, one deletes, and a push waits for it', async (t) => {
    const blob = randomBlob(1000)
    const pusher = await bucketStore(t, objects)
    await pushBlob(pusher.store, blob)
    const run = createRunId()
    await pusher.store.blobs.remove(blob.digest, run)
    const [reached, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const slow: ObjectStore = {
      ...objects,
      delete: async (keys) => {
        reached.resolve()
        await gate.promise
        return objects.delete(keys)
      },
    }
    const [one, two] = [await bucketStore(t, slow, pusher.root), await pusher.another()]
    const freeing = one.store.trash.free({ run })
    await reached.promise
    assert.deepEqual(await two.store.trash.free({ run }), { entries: 0, bytes: 0 })
    await assert.rejects(pushBlob(pusher.store, blob), /is being deleted from the trash/)
    gate.resolve()
    assert.deepEqual(await freeing, { entries: 1, bytes: 1000 })
    await pushBlob(pusher.store, blob)
    assert.deepEqual(await two.store.blobs.read(blob.digest, 1000), blob.bytes)
  })

  for (const [what, change] of [
    ['removal', (store, blob, run) => store.blobs.remove(blob.digest, run)],
    ['restoration', (store, blob) => store.blobs.stat(blob.digest)],
    ['deletion', (store, _blob, run) => store.trash.free({ run })],
  ] as const satisfies readonly (readonly [string, Change])[])
    test(`after a ${what} that ends at any of its requests, the blob is whole or gone, and the trash can be emptied`, async (t) => {
      let now = 0
      for (let last = 0, isOver = false; !isOver; last += 1) {
        const { store, root } = await bucketStore(t, objects)
        const blob = randomBlob(1000)
        await pushBlob(store, blob)
        const run = createRunId()
        if (what !== 'removal') await store.blobs.remove(blob.digest, run)
        const killed = await bucketStore(
          t,
          watchedBucket(objects, async (count) => {
            if (count > last) throw new Error('killed')
          }),
          root,
        )
        const work = change(killed.store, blob, run)
        isOver = await work.then(
          () => last > 1,
          () => false,
        )
        const next = await bucketStore(t, objects, root, () => now)
        await next.store.trash.free({ run })
        now += 3_600_000
        await next.store.trash.free({ run })
        assert.deepEqual(await inTrash(root), [], `at ${last}`)
        const isWhole = await next.store.blobs.isStored(blob.digest)
        const bytes = await next.store.blobs.read(blob.digest, 1000)
        assert.deepEqual(bytes, isWhole ? blob.bytes : undefined)
        await pushBlob(next.store, blob)
      }
    })

  for (const what of ['blobs', 'repositories'] as const)
    test(`a listing of all ${what}, by which the index deletes, fails if the bucket is replaced meanwhile`, async (t) => {
      const { store, root } = await bucketStore(t, objects)
      await pushBlob(store, randomBlob(1000))
      const { blobs, links } = store.scanning ?? assert.fail()
      const list = async (): Promise<number> =>
        (await all<unknown>(what === 'blobs' ? blobs.list() : links.names())).length
      assert.equal(await list(), 1)
      const mark = `${root}/_berth/volume`
      const bytes = (await objects.read(mark))?.bytes ?? assert.fail()
      await objects.delete([mark])
      await assert.rejects(list(), /is not the bucket that it was: .*_berth\/volume is missing/)
      await objects.put(mark, Buffer.from('another'))
      await assert.rejects(store.blobs.stat(randomBlob(9).digest), /is not the bucket that it was/)
      await assert.rejects(pushBlob(store, randomBlob(9)), /is not the bucket that it was/)
      assert.match(store.problem() ?? '', /is not the bucket that it was/)
      await objects.put(mark, bytes)
      await until('it is recognized', async () => assert.equal(await list(), 1))
    })

  test('a trash is emptied also where each request takes so long that there is no time for all of it', async (t) => {
    let now = 0
    const slow = watchedBucket(objects, async () => {
      now += 1600
    })
    const { store, root } = await bucketStore(t, slow, undefined, () => now)
    const run = createRunId()
    for (const blob of Array.from({ length: 20 }, () => randomBlob(10))) {
      await pushBlob(store, blob)
      await store.blobs.remove(blob.digest, run)
    }
    for (let at = 0; at < 3; at += 1) await store.trash.free({ run })
    assert.deepEqual(await inTrash(root), [])
  })

  test('a removal whose responses are lost, so that its requests are repeated, is in the trash', async (t) => {
    const blob = randomBlob(1000)
    const repeating: ObjectStore = {
      ...objects,
      put: async (...request) => {
        await objects.put(...request)
        return objects.put(...request)
      },
    }
    const { store } = await bucketStore(t, repeating)
    await pushBlob(store, blob)
    const run = createRunId()
    assert.equal(await store.blobs.remove(blob.digest, run), true)
    assert.equal((await store.trash.runs())[0]?.bytes, 1000)
    assert.equal(await store.blobs.remove(blob.digest, createRunId()), false)
    await store.trash.undo(run)
    assert.deepEqual(await store.blobs.read(blob.digest, 1000), blob.bytes)
  })
}

type Change = (store: HostedStore, blob: Blob, run: RunId) => Promise<unknown>

type Parts = { readonly layer: Blob; readonly manifest: Blob }
