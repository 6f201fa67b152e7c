import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { blobOf, type Image, makeImage, makeIndex, manifestOf } from '../support/images.ts'
import { newRoot, untilVerified, useIndex } from './use-index.ts'
import { createVolume } from './volume.ts'

const app = parseRepositoryName('p/app')
const hour = 3_600_000
const all = { order: 'name', descending: false, search: '', offset: 0, limit: 100 } as const

/** An image with a config of its own. */
function imageWith(config: object, extra: object = {}): Image {
  const blob = blobOf(Buffer.from(JSON.stringify(config)))
  const { mediaType, bytes, blobs } = makeImage()
  const fields = JSON.parse(bytes.toString())
  const descriptor = { ...fields.config, digest: blob.digest, size: blob.bytes.length }
  return manifestOf(
    mediaType,
    { ...fields, ...extra, config: descriptor },
    { blobs: [blob, ...blobs.slice(1)] },
  )
}

async function start(t: TestContext) {
  const volume = createVolume()
  const { index } = useIndex(t, { root: await newRoot(), source: volume.source })
  await untilVerified(index)
  // Later than the start, before which everything counts as pulled.
  return { volume, index, at: Date.now() + hour }
}

test('the record of an image says what its manifest and its config say, and who pushed it', async (t) => {
  const { volume, index, at } = await start(t)
  const image = imageWith({
    os: 'linux',
    architecture: 'arm64',
    variant: 'v8',
    config: { Labels: { 'quay.expires-after': '2w' } },
  })
  index.apply(volume.pushImage('p/app', image, at, 'v1'))
  index.apply(volume.putManifest('p/app', image, at + hour, 'user ci'))
  assert.deepEqual(await index.images(app), [
    {
      digest: image.digest,
      tags: [{ tag: 'v1', at, pulledAt: undefined }],
      mediaType: image.mediaType,
      artifactType: 'application/vnd.oci.image.config.v1+json',
      subject: undefined,
      parents: [],
      children: [],
      size: [image, ...image.blobs].reduce((sum, { bytes }) => sum + bytes.length, 0),
      pushedAt: at + hour,
      pushedBy: 'user ci',
      pulledAt: undefined,
      pinned: false,
      expiresAfter: '2w',
    },
  ])
  const { records } = await index.tagRecords(app, all)
  assert.deepEqual(records[0]?.platforms, ['linux/arm64/v8'])
})

test('an index has the size and the platforms of its children, and they have it as parent', async (t) => {
  const { volume, index, at } = await start(t)
  const children = [makeImage(), makeImage({ architecture: 'arm64' })]
  const multi = makeIndex(children)
  index.apply(volume.pushImage('p/app', multi, at, 'v1'))
  const images = new Map((await index.images(app)).map((image) => [image.digest, image]))
  const sizeOf = ({ bytes, blobs }: Image) =>
    [{ bytes }, ...blobs].reduce((sum, blob) => sum + blob.bytes.length, 0)
  assert.equal(
    images.get(multi.digest)?.size,
    [multi, ...children].reduce((sum, image) => sum + sizeOf(image), 0),
  )
  for (const child of children) {
    assert.deepEqual(images.get(child.digest)?.parents, [multi.digest])
    assert.equal(images.get(child.digest)?.size, sizeOf(child))
  }
  const { records } = await index.tagRecords(app, all)
  assert.deepEqual(records[0]?.platforms, ['linux/amd64', 'linux/arm64'])
})

test('referrers are the manifests of the repository with the subject', async (t) => {
  const { volume, index, at } = await start(t)
  const image = makeImage()
  const subject = { mediaType: image.mediaType, digest: image.digest, size: image.bytes.length }
  const signature = makeImage({ extra: { subject, artifactType: 'application/x.signature' } })
  // The image itself may be missing.
  index.apply(volume.pushImage('p/app', signature, at))
  assert.deepEqual(await index.referrers(app, image.digest), [signature.digest])
  assert.deepEqual(await index.referrers(parseRepositoryName('p/other'), image.digest), [])
  assert.equal((await index.images(app))[0]?.artifactType, 'application/x.signature')
  index.apply(volume.removeManifest('p/app', signature.digest))
  assert.deepEqual(await index.referrers(app, image.digest), [])
})

test('tags are sorted as people read them, by date and by size, and filtered as one types', async (t) => {
  const { volume, index, at } = await start(t)
  const tags = ['1.9', '1.10', 'v2', 'V10', 'latest', '1.9-rc1', '007', '7']
  for (const [n, tag] of tags.entries()) {
    const image = makeImage({ layers: [blobOf(Buffer.alloc(1000 * (n + 1), n))] })
    index.apply(volume.pushImage('p/app', image, at - n * hour, tag))
  }
  const ask = async (part: object) => {
    const { total, records } = await index.tagRecords(app, { ...all, ...part })
    return { total, tags: records.map(({ tag }) => tag) }
  }
  const byName = ['1.9', '1.9-rc1', '1.10', '007', '7', 'V10', 'latest', 'v2']
  assert.deepEqual(await ask({}), { total: 8, tags: byName })
  assert.deepEqual((await ask({ descending: true })).tags, byName.toReversed())
  assert.deepEqual((await ask({ order: 'date', descending: true })).tags, tags)
  assert.deepEqual((await ask({ order: 'size' })).tags, tags)
  assert.deepEqual(await ask({ search: 'V1' }), { total: 1, tags: ['V10'] })
  assert.deepEqual(await ask({ search: 'rc' }), { total: 1, tags: ['1.9-rc1'] })
  assert.deepEqual(await ask({ offset: 2, limit: 2 }), { total: 8, tags: ['1.10', '007'] })
})

test('names and tags are found by a part of them', async (t) => {
  const { volume, index, at } = await start(t)
  index.apply([
    ...volume.pushImage('team/shop', makeImage(), at, 'Release-1'),
    ...volume.pushImage('team/shopping', makeImage(), at, 'v1'),
    ...volume.pushBlob('team/shops', blobOf(Buffer.from('a')), at),
  ])
  assert.deepEqual(await index.search('SHOP', 10), [
    { name: 'team/shop' },
    { name: 'team/shopping' },
  ])
  assert.deepEqual(await index.search('release', 10), [{ name: 'team/shop', tag: 'Release-1' }])
  assert.equal((await index.search('team', 1)).length, 1)
  assert.deepEqual(await index.search('%', 10), [])
  const records = await index.repositoryRecords({
    prefix: 'team',
    search: 'ping',
    offset: 0,
    limit: 9,
  })
  assert.deepEqual(records, [
    {
      name: 'team/shopping',
      tags: 1,
      manifests: 1,
      changedAt: at,
      pushedAt: at,
      pulledAt: undefined,
    },
  ])
})

test('lists are given in pages', async (t) => {
  const { volume, index, at } = await start(t)
  for (const name of ['a', 'b/c', 'b-d', 'e'])
    for (const tag of ['1', '2', '3']) index.apply(volume.pushImage(name, makeImage(), at, tag))
  const names = ['a', 'b-d', 'b/c', 'e']
  assert.deepEqual(await index.repositories({}), { entries: names })
  assert.deepEqual(await index.repositories({ n: 2 }), { entries: names.slice(0, 2), next: 'b-d' })
  assert.deepEqual(await index.repositories({ n: 2, last: 'b-d' }), { entries: names.slice(2) })
  assert.deepEqual(await index.repositories({ n: 0 }), { entries: [] })
  assert.deepEqual(await index.repositories({ prefix: 'b' }), { entries: ['b/c'] })
  const name = parseRepositoryName('e')
  assert.deepEqual(await index.tags(name, { n: 2 }), { entries: ['1', '2'], next: '2' })
  assert.deepEqual(await index.tags(name, { n: 5, last: '2' }), { entries: ['3'] })
  const unreferenced = [1, 2, 3].map((byte) => blobOf(Buffer.alloc(10, byte)))
  for (const blob of unreferenced) index.apply(volume.pushBlob('a', blob, at))
  const digests = unreferenced.map(({ digest }) => digest).toSorted()
  const found = await index.unreferenced(digests[0], 1)
  assert.deepEqual(found, [{ digest: digests[1], size: 10, names: ['a'] }])
  const link = { name: parseRepositoryName('a'), digest: digests[0] }
  assert.ok(link.digest)
  assert.deepEqual(await index.unreferencedLinks({ ...link, digest: link.digest }, 9), [
    { name: 'a', digest: digests[1] },
    { name: 'a', digest: digests[2] },
  ])
})
