import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { type Blob, blobOf, type Image, makeImage, makeIndex } from '../support/images.ts'
import { newRoot, untilVerified, useIndex } from './use-index.ts'
import { createVolume } from './volume.ts'

const name = parseRepositoryName
const at = 1_700_000_000_000
const all = { order: 'name', descending: false, search: '', offset: 0, limit: 100 } as const

async function start(t: TestContext) {
  const volume = createVolume()
  const { index } = useIndex(t, { root: await newRoot(), source: volume.source })
  await untilVerified(index)
  return { volume, index }
}

const layer = (size: number, byte: number): Blob => blobOf(Buffer.alloc(size, byte))

/** Bytes of everything that the images have, each once. */
function bytesOf(...images: readonly Image[]): number {
  const blobs = new Map<string, number>()
  const add = (image: Image): void => {
    for (const { digest, bytes } of [image, ...image.blobs]) blobs.set(digest, bytes.length)
    image.children.forEach(add)
  }
  images.forEach(add)
  return [...blobs.values()].reduce((sum, size) => sum + size, 0)
}

test('the size of a repository counts each blob once; its own size, what no other repository has', async (t) => {
  const { volume, index } = await start(t)
  const base = layer(100_000, 1)
  const one = makeImage({ layers: [base, layer(10_000, 2)] })
  const two = makeImage({ layers: [base, layer(20_000, 3)] })
  const other = makeImage({ layers: [base, layer(40_000, 4)] })
  for (const image of [one, two]) index.apply(volume.pushImage('team/app', image, at, 'v1'))
  index.apply(volume.pushImage('team/other', other, at, 'v1'))
  const sizes = await index.repositorySizes()
  const shared = bytesOf(one, two) + bytesOf(other) - bytesOf(one, two, other)
  assert.ok(shared >= 100_000)
  assert.deepEqual(sizes, [
    { name: 'team/app', size: bytesOf(one, two), ownSize: bytesOf(one, two) - shared },
    { name: 'team/other', size: bytesOf(other), ownSize: bytesOf(other) - shared },
  ])
})

test('the usage of parts tells what others share from what each has alone', async (t) => {
  const { volume, index } = await start(t)
  const base = layer(100_000, 1)
  const [one, two, other] = [2, 3, 4].map((byte) =>
    makeImage({ layers: [base, layer(10_000, byte)] }),
  )
  assert.ok(one && two && other)
  index.apply(volume.pushImage('team/one', one, at, 'v1'))
  index.apply(volume.pushImage('team/two', two, at, 'v1'))
  index.apply(volume.pushImage('teams', other, at, 'v1'))
  const teams = (part: string) => [name('teams'), part] as const
  const team = [
    [name('team/one'), 'one'],
    [name('team/two'), 'two'],
  ] as const
  const unique = bytesOf(one, two)
  const shared = bytesOf(one) + bytesOf(two) - unique
  const parts = [one, two].map((image, at) => ({
    part: at === 0 ? 'one' : 'two',
    unique: bytesOf(image),
    own: bytesOf(image) - shared,
  }))
  assert.deepEqual(await index.usage(team), { unique, own: unique, parts })
  assert.deepEqual(await index.usage([...team, teams('')]), { unique, own: unique - shared, parts })
  const all = await index.usage([...team, teams('teams')])
  assert.deepEqual([all.unique, all.own], [bytesOf(one, two, other), bytesOf(one, two, other)])
  const together = await index.usage(team.map(([repository]) => [repository, 'both']))
  assert.deepEqual(together.parts, [{ part: 'both', unique, own: unique }])
  assert.deepEqual(await index.usage([teams('')]), { unique: 0, own: 0, parts: [] })
})

test('the usage of a repository is told by tagged manifest, with what a removal also removes', async (t) => {
  const { volume, index } = await start(t)
  const base = layer(100_000, 1)
  const [amd, arm, single, loose, other] = [2, 3, 4, 5, 6].map((byte) =>
    makeImage({ layers: [base, layer(10_000 * byte, byte)] }),
  )
  assert.ok(amd && arm && single && loose && other)
  const multi = makeIndex([amd, arm])
  for (const tag of ['latest', 'v1']) index.apply(volume.pushImage('app', multi, at, tag))
  index.apply(volume.pushImage('app', single, at, 'v2'))
  index.apply(volume.pushImage('app', loose, at))
  index.apply(volume.pushImage('other', other, at, 'v1'))
  const common = bytesOf(single) + bytesOf(loose) - bytesOf(single, loose)
  const usageWith = (...others: readonly string[]) =>
    index.taggedUsage({ name: name('app'), others: others.map(name) })
  const usage = await usageWith()
  assert.equal(usage.unique, bytesOf(multi, single, loose))
  assert.equal(usage.own, usage.unique)
  const byTag = new Map(usage.parts.map((part) => [part.tags.join(), part]))
  assert.deepEqual([...byTag.keys()].toSorted(), ['', 'latest,v1', 'v2'])
  assert.equal(byTag.get('latest,v1')?.digest, multi.digest)
  assert.equal(byTag.get('latest,v1')?.unique, bytesOf(multi))
  assert.equal(byTag.get('')?.digest, undefined)
  assert.equal(byTag.get('')?.own, bytesOf(loose) - common)
  assert.equal(byTag.get('v2')?.own, bytesOf(single) - common)
  const shared = await usageWith('other')
  assert.equal(shared.unique, usage.unique)
  assert.equal(usage.own - shared.own, common)
})

test('a removal frees what no other manifest of any repository needs', async (t) => {
  const { volume, index } = await start(t)
  const base = layer(100_000, 1)
  const one = makeImage({ layers: [base, layer(10_000, 2)] })
  const two = makeImage({ layers: [base, layer(20_000, 3)] })
  for (const image of [one, two]) index.apply(volume.pushImage('p/app', image, at, 'v1'))
  const app = name('p/app')
  const freed = async (of: string, ...manifests: readonly Image[]) =>
    (await index.freed({ name: name(of), manifests: manifests.map(({ digest }) => digest) })).bytes
  assert.equal(await freed('p/app', one), bytesOf(one, two) - bytesOf(two))
  assert.equal(await freed('p/app', one, two), bytesOf(one, two))
  assert.equal(await freed('p/other', one), 0)
  index.apply(volume.pushImage('p/other', two, at, 'v1'))
  assert.equal(await freed('p/app', one, two), bytesOf(one, two) - bytesOf(two))
  assert.deepEqual(await index.freed({ name: app, manifests: [] }), { bytes: 0, blobs: 0 })
})

test('an index that is removed frees nothing of its children, which stay, unless they go with it', async (t) => {
  const { volume, index } = await start(t)
  const children = [makeImage(), makeImage({ architecture: 'arm64' })]
  const multi = makeIndex(children)
  index.apply(volume.pushImage('p/app', multi, at, 'v1'))
  const freed = async (...manifests: readonly Image[]) =>
    (await index.freed({ name: name('p/app'), manifests: manifests.map((each) => each.digest) }))
      .bytes
  assert.equal(await freed(multi), multi.bytes.length)
  assert.equal(await freed(multi, ...children), bytesOf(multi))
})

test('who shares a blob is counted by repository', async (t) => {
  const { volume, index } = await start(t)
  const base = layer(1000, 1)
  const [one, two, other] = [2, 3, 4].map((byte) => makeImage({ layers: [base, layer(10, byte)] }))
  assert.ok(one && two && other)
  for (const image of [one, two]) index.apply(volume.pushImage('a', image, at))
  index.apply(volume.pushImage('b', other, at))
  assert.deepEqual(await index.sharing([base.digest]), [
    { digest: base.digest, name: 'a', manifests: 2 },
    { digest: base.digest, name: 'b', manifests: 1 },
  ])
  const own = other.blobs.at(-1)?.digest ?? base.digest
  assert.deepEqual(await index.sharing([own]), [{ digest: own, name: 'b', manifests: 1 }])
  assert.deepEqual(await index.storedOf([base.digest, layer(7, 7).digest]), [base.digest])
})

test('one image is described as in the list of all', async (t) => {
  const { volume, index } = await start(t)
  const children = [makeImage(), makeImage({ architecture: 'arm64' })]
  index.apply(volume.pushImage('p/app', makeIndex(children), at, 'v1'))
  index.apply(volume.pushImage('p/app', makeImage(), at, 'v2'))
  for (const image of await index.images(name('p/app')))
    assert.deepEqual(await index.image(name('p/app'), image.digest), image)
  assert.equal(await index.image(name('p/app'), layer(1, 1).digest), undefined)
})

test('a tag says how much of its image is missing, platforms that were never pushed included', async (t) => {
  const { volume, index } = await start(t)
  const children = [makeImage(), makeImage({ architecture: 'arm64' })]
  const multi = makeIndex(children)
  const [first] = children
  assert.ok(first)
  index.apply(volume.pushImage('p/app', first, at))
  index.apply(volume.putManifest('p/app', multi, at))
  index.apply(volume.setTag('p/app', 'v1', multi.digest, at))
  const missing = async () => (await index.tagRecords(name('p/app'), all)).records[0]?.missing
  assert.equal(await missing(), 1)
  index.apply(volume.pushImage('p/app', multi, at))
  assert.equal(await missing(), 0)
})
