import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../../src/oci/digest.ts'
import { createRunId } from '../../../src/store/store.ts'
import { eventually } from '../../support/berth.ts'
import { all, app } from '../../support/hosted-store.ts'
import { makeImage } from '../../support/images.ts'
import { d, name, tag, testLinkStore } from '../link-store.conformance.ts'
import type { MakeStore, StoreUnderTest } from './uploads.conformance.ts'

/** What everyone may rely on who links content to hosted repositories, wherever the links are. */
export function testHostedLinks(store: string, make: MakeStore): void {
  testLinkStore(store, async (t) => {
    const { store: made, ...tested } = await make(t)
    return { ...tested, links: made.links }
  })

  const testCleanly = (what: string, behave: (tested: StoreUnderTest) => Promise<unknown>) =>
    test(`${store}: ${what}`, async (t) => {
      const tested = await make(t)
      await behave(tested)
      assert.deepEqual(await tested.leftovers(), [])
    })

  testCleanly('the blobs and manifests of a repository are listed', async (tested) => {
    const { links } = tested.store
    const long = digestOf(Buffer.from('x'), 'sha512')
    const blobs = [...Array.from({ length: 150 }, (_, at) => d(`${at}`)), long]
    for (const digest of blobs) await links.addBlob(app, digest)
    await links.addManifest(app, d('m'))
    await links.addManifest(name('team/app/nested'), d('n'))
    for (const again of [links, (await tested.restarted()).store.links]) {
      assert.deepEqual((await all(again.blobsOf(app))).toSorted(), blobs.toSorted())
      assert.deepEqual(await all(again.manifestsOf(app)), [d('m')])
      assert.deepEqual(await all(again.blobsOf(name('none'))), [])
    }
  })

  testCleanly('a link that was removed is gone, in its repository alone', async ({ store }) => {
    const { links } = store
    const run = createRunId()
    for (const repository of [app, name('b')]) {
      await links.addBlob(repository, d('x'))
      await links.addManifest(repository, d('m'))
    }
    assert.equal(await links.removeBlob(app, d('x'), run), true)
    assert.equal(await links.removeManifest(app, d('m'), run), true)
    assert.equal(await links.removeBlob(app, d('x'), run), false)
    assert.equal(await links.removeManifest(app, d('m'), run), false)
    assert.deepEqual(await all(links.blobsOf(app)), [])
    assert.deepEqual(await all(links.manifestsOf(app)), [])
    assert.equal(await links.hasBlob(app, d('x')), false)
    assert.equal(await links.hasManifest(app, d('m')), false)
    assert.equal(await links.hasBlob(name('b'), d('x')), true)
    assert.equal(await links.hasManifest(name('b'), d('m')), true)
    assert.deepEqual(await links.repositories(), ['b'])
  })

  testCleanly('a link may be added again after it was removed, often', async ({ store }) => {
    const { links } = store
    const run = createRunId()
    for (let round = 0; round < 3; round += 1) {
      await links.addBlob(app, d('x'))
      await links.setTag(app, tag('v1'), d('m'))
      assert.equal(await links.removeBlob(app, d('x'), run), true)
      assert.equal(await links.untag(app, tag('v1'), run), true)
    }
    assert.equal(await links.untag(app, tag('v1'), run), false)
    await links.addBlob(app, d('x'))
    assert.equal(await links.hasBlob(app, d('x')), true)
  })

  testCleanly('names are all repositories, also those without a manifest', async ({ store }) => {
    await store.links.addManifest(name('a'), d('m'))
    await store.links.addBlob(name('a/b'), d('x'))
    await store.uploads.create(name('c'), { writer: 'anonymous', algorithm: 'sha256' })
    assert.deepEqual((await all(store.links.names())).toSorted(), ['a', 'a/b', 'c'])
    assert.deepEqual(await store.links.repositories(), ['a'])
  })

  testCleanly('the referrers of a subject are sorted, and need no subject', async ({ store }) => {
    const { links } = store
    const referrers = ['a', 'b', 'c'].map(d)
    for (const digest of referrers) await links.addReferrer(app, d('subject'), digest)
    await links.addReferrer(app, d('subject'), d('a'))
    assert.deepEqual(await links.referrers(app, d('subject')), referrers.toSorted())
    assert.deepEqual(await links.referrers(app, d('other')), [])
    assert.deepEqual(await links.referrers(name('b'), d('subject')), [])
    assert.deepEqual(await links.repositories(), [])
  })

  testCleanly(
    'a removed manifest is no referrer any more, until it is restored',
    async (tested) => {
      const { blobs, links, trash } = tested.store
      const subject = {
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest: d('s'),
        size: 1,
      }
      const { digest, bytes } = makeImage({ layers: [], extra: { subject } })
      await blobs.put(digest, bytes)
      await links.addManifest(app, digest)
      await links.addReferrer(app, d('s'), digest)
      const run = createRunId()
      await links.removeManifest(app, digest, run)
      assert.deepEqual(await links.referrers(app, d('s')), [])
      await trash.undo(run)
      assert.deepEqual(await links.referrers(app, d('s')), [digest])
      assert.equal(await links.hasManifest(app, digest), true)
    },
  )

  testCleanly('a tag has a history, the newest version first', async (tested) => {
    const { clockStep = 20 } = tested
    const { links } = tested.store
    assert.deepEqual(await links.tagHistory(app, tag('v1')), [])
    for (const digest of ['a', 'b', 'c', 'a'].map(d)) {
      await links.setTag(app, tag('v1'), digest)
      const before = Date.now()
      await eventually('time has passed', () => Date.now() > before + clockStep)
    }
    for (const again of [links, (await tested.restarted()).store.links]) {
      const history = await again.tagHistory(app, tag('v1'))
      assert.deepEqual(
        history.map(({ digest }) => digest),
        ['a', 'c', 'b'].map(d),
      )
      assert.ok(history.every(({ at }, index) => at <= (history[index - 1]?.at ?? Date.now())))
    }
  })

  testCleanly('the history of a removed tag is that of its last removal', async ({ store }) => {
    const { links } = store
    for (const digest of ['a', 'b'].map(d)) {
      await links.setTag(app, tag('v1'), digest)
      await links.untag(app, tag('v1'), createRunId())
    }
    await links.setTag(app, tag('v1'), d('c'))
    await links.setTag(app, tag('v1'), d('d'))
    await links.untag(app, tag('v1'), createRunId(Date.now() + 1000))
    const history = await links.tagHistory(app, tag('v1'))
    assert.deepEqual(
      history.map(({ digest }) => digest),
      ['d', 'c'].map(d),
    )
  })

  testCleanly('two who set one tag leave one of both (H122)', async ({ store }) => {
    const { links } = store
    for (let round = 0; round < 10; round += 1) {
      const digests = [d(`${round} a`), d(`${round} b`)]
      await Promise.all(digests.map((digest) => links.setTag(app, tag(`v${round % 3}`), digest)))
      const link = await links.tag(app, tag(`v${round % 3}`))
      assert.ok(link && digests.includes(link.digest))
    }
    assert.deepEqual(await links.tags(app), ['v0', 'v1', 'v2'])
  })
}
