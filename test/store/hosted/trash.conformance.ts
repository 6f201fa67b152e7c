import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRunId, parseRunId } from '../../../src/store/store.ts'
import { all, app, pushBlob } from '../../support/hosted-store.ts'
import { randomBlob } from '../../support/images.ts'
import { d, name, tag } from '../link-store.conformance.ts'
import type { MakeStore, StoreUnderTest } from './uploads.conformance.ts'

/** What everyone may rely on who removes things, and brings them back. */
export function testTrash(store: string, make: MakeStore): void {
  const testCleanly = (what: string, behave: (tested: StoreUnderTest) => Promise<unknown>) =>
    test(`${store}: ${what}`, async (t) => {
      const tested = await make(t)
      await behave(tested)
      assert.deepEqual(await tested.leftovers(), [])
    })

  testCleanly('a run has what was removed in it, and is undone as a whole', async (tested) => {
    const { links, blobs } = tested.store
    const blob = randomBlob(2_000_000)
    await pushBlob(tested.store, blob)
    await links.addManifest(app, d('m'))
    await links.setTag(app, tag('v1'), d('old'))
    await links.setTag(app, tag('v1'), d('m'))
    const run = createRunId()
    await links.untag(app, tag('v1'), run)
    await links.removeManifest(app, d('m'), run)
    await links.removeBlob(app, blob.digest, run)
    await blobs.remove(blob.digest, run)
    const { trash, ...other } = (await tested.restarted()).store
    const [only] = await trash.runs()
    assert.deepEqual([only?.run, only?.entries, only?.bytes], [run, 4, 2_000_000])
    assert.deepEqual(
      new Set(await all(trash.entries(run))),
      new Set([
        { kind: 'blob', digest: blob.digest, size: 2_000_000 },
        { kind: 'layer', name: app, digest: blob.digest },
        { kind: 'manifest', name: app, digest: d('m') },
        { kind: 'tag', name: app, tag: 'v1' },
      ]),
    )
    assert.deepEqual(await trash.undo(run), { restored: 4 })
    assert.deepEqual(await trash.runs(), [])
    assert.equal(await other.links.hasBlob(app, blob.digest), true)
    assert.equal(await other.links.hasManifest(app, d('m')), true)
    assert.equal((await other.links.tag(app, tag('v1')))?.digest, d('m'))
    assert.equal((await other.links.tagHistory(app, tag('v1'))).length, 2)
    assert.deepEqual(await other.blobs.read(blob.digest, 2_000_000), blob.bytes)
  })

  testCleanly('undoing a run does not replace what is newer', async ({ store }) => {
    const { links, blobs, trash } = store
    const blob = randomBlob(1000)
    await pushBlob(store, blob)
    await links.setTag(app, tag('v1'), d('old'))
    const run = createRunId()
    await links.untag(app, tag('v1'), run)
    await blobs.remove(blob.digest, run)
    await links.setTag(app, tag('v1'), d('new'))
    await blobs.put(blob.digest, blob.bytes)
    await trash.undo(run)
    assert.equal((await links.tag(app, tag('v1')))?.digest, d('new'))
    const history = await links.tagHistory(app, tag('v1'))
    assert.deepEqual(
      history.map(({ digest }) => digest),
      [d('new'), d('old')],
    )
    assert.deepEqual(await blobs.read(blob.digest, 1000), blob.bytes)
  })

  testCleanly('a run may be undone twice, or not exist', async ({ store }) => {
    const { links, trash } = store
    const run = createRunId()
    assert.deepEqual(await trash.undo(run), { restored: 0 })
    await links.addBlob(app, d('x'))
    await links.removeBlob(app, d('x'), run)
    assert.deepEqual(await trash.undo(run), { restored: 1 })
    assert.deepEqual(await trash.undo(run), { restored: 0 })
    assert.deepEqual(await trash.free({ run }), { bytes: 0, entries: 0 })
    assert.equal(await links.hasBlob(app, d('x')), true)
  })

  testCleanly(
    'any read of a blob in the trash restores it, also after a restart',
    async (tested) => {
      const blob = randomBlob(2_000_000)
      await pushBlob(tested.store, blob)
      let current = tested
      for (const read of ['open', 'stat', 'read', 'restoreBlob'] as const) {
        await current.store.blobs.remove(blob.digest, createRunId())
        if (read === 'stat') current = await current.restarted()
        const { blobs, trash } = current.store
        assert.equal((await all(blobs.list())).length, 0)
        if (read === 'open') (await blobs.open(blob.digest))?.close()
        else if (read === 'stat')
          assert.deepEqual(await blobs.stat(blob.digest), { size: 2_000_000 })
        else if (read === 'read') assert.ok(await blobs.read(blob.digest, 2_000_000))
        else assert.equal(await trash.restoreBlob(blob.digest), true)
        assert.equal((await all(blobs.list())).length, 1)
      }
    },
  )

  testCleanly('many restore one blob at once, and all have it', async ({ store }) => {
    const blob = randomBlob(100_000)
    await pushBlob(store, blob)
    await store.blobs.remove(blob.digest, createRunId())
    const all = await Promise.all(Array.from({ length: 20 }, () => store.blobs.stat(blob.digest)))
    assert.ok(all.every((stat) => stat?.size === 100_000))
  })

  testCleanly('a blob that was never here is not restored', async ({ store }) => {
    assert.equal(await store.trash.restoreBlob(d('none')), false)
    const blob = randomBlob(10)
    await pushBlob(store, blob)
    assert.equal(await store.trash.restoreBlob(blob.digest), true)
  })

  testCleanly('old runs are freed, the oldest first, and are gone for good', async (tested) => {
    const { blobs, trash } = tested.store
    const removed = [1, 2, 3].map((hour) => ({
      blob: randomBlob(1000 * hour),
      run: createRunId(Date.UTC(2026, 0, 1, hour)),
    }))
    for (const { blob, run } of removed) {
      await pushBlob(tested.store, blob)
      await blobs.remove(blob.digest, run)
    }
    const runs = await trash.runs()
    assert.deepEqual(
      runs.map(({ run }) => run),
      removed.map(({ run }) => run).toReversed(),
    )
    assert.equal(runs[0]?.at, Date.UTC(2026, 0, 1, 3))
    const freed = await trash.free({ before: Date.UTC(2026, 0, 1, 3) })
    assert.deepEqual(freed, { bytes: 3000, entries: 2 })
    const [first, second, third] = removed
    assert.ok(first && second && third)
    for (const again of [blobs, (await tested.restarted()).store.blobs]) {
      assert.equal(await again.stat(first.blob.digest), undefined)
      assert.equal(await again.stat(second.blob.digest), undefined)
    }
  })

  testCleanly('removed twice and freed once, the newest copy counts', async ({ store }) => {
    const { blobs, trash } = store
    const blob = randomBlob(1000)
    const [older, newer] = [createRunId(1000), createRunId(2000)]
    for (const run of [older, newer]) {
      await pushBlob(store, blob)
      await blobs.remove(blob.digest, run)
    }
    await trash.free({ run: older })
    assert.deepEqual(await blobs.read(blob.digest, 1000), blob.bytes)
  })

  testCleanly('a run is a name, and not a path', async ({ store }) => {
    for (const text of ['..', '../../etc', '', 'x', '20260101T000000Z-', '20260101T000000Z-/../a'])
      assert.throws(() => parseRunId(text), { code: 'UNSUPPORTED' })
    await store.links.addBlob(name('a'), d('x'))
    assert.deepEqual(await store.trash.runs(), [])
  })
}
