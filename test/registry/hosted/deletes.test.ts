import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseTag } from '../../../src/oci/reference.ts'
import {
  type Opened,
  openHostedRegistry,
  pushBlob,
  pushImage,
  putManifest,
} from '../../support/hosted-registry.ts'
import { checkVolume } from '../../support/hosted-volume.ts'
import { type Blob, type Image, makeImage, makeIndex, randomBlob } from '../../support/images.ts'
import { createRandom } from '../../support/random.ts'

const name = 'local/app'
const small = () => makeImage({ layers: [randomBlob(100)] })

const digestOfTag = async (repository: Opened, tag: string) =>
  (await repository.manifest({ tag: parseTag(tag) }))?.digest

function layerOf({ blobs }: Image): Blob {
  const layer = blobs.at(-1)
  assert.ok(layer !== undefined)
  return layer
}

test('deleting a tag removes the tag alone (H128)', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const repository = open(name)
  const image = small()
  await pushImage(repository, image, 'v1', 'latest')
  assert.equal(await repository.deleteTag(parseTag('v1')), true)
  assert.equal(await repository.deleteTag(parseTag('v1')), false)
  assert.equal(await digestOfTag(repository, 'v1'), undefined)
  assert.equal(await digestOfTag(repository, 'latest'), image.digest)
  assert.ok(await repository.manifest({ digest: image.digest }))
  assert.deepEqual((await repository.tags({}))?.tags, ['latest'])
  assert.deepEqual(await checkVolume(root), [{ name, tag: 'latest', digest: image.digest }])
})

test('deleting a manifest removes it from memory, with all tags that point to it (H128)', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const repository = open(name)
  const [image, other] = [small(), small()]
  await pushImage(repository, image, 'v1', 'latest')
  await pushImage(repository, other, 'v2')
  assert.ok(await repository.manifest({ digest: image.digest }))
  assert.equal(await repository.deleteManifest(image.digest), true)
  assert.equal(await repository.deleteManifest(image.digest), false)
  assert.equal(await repository.manifest({ digest: image.digest }), undefined)
  assert.equal(await digestOfTag(repository, 'latest'), undefined)
  assert.deepEqual((await repository.tags({}))?.tags, ['v2'])
  assert.deepEqual(await checkVolume(root), [{ name, tag: 'v2', digest: other.digest }])
  await pushImage(repository, image, 'v1')
  assert.equal(await digestOfTag(repository, 'v1'), image.digest)
})

test('deleting a blob concerns one repository, and none whose manifests need it (H128)', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const image = small()
  const layer = layerOf(image)
  await pushImage(open(name), image, 'v1')
  await pushBlob(open('local/other'), layer)
  await assert.rejects(open(name).deleteBlob(layer.digest), {
    code: 'UNSUPPORTED',
    status: 405,
    message: new RegExp(`its manifest ${image.digest} references it`),
  })
  assert.equal(await open('local/other').deleteBlob(layer.digest), true)
  assert.equal(await open('local/other').deleteBlob(layer.digest), false)
  assert.equal(await open('local/other').statBlob(layer.digest), undefined)
  assert.ok(await open(name).statBlob(layer.digest))
  await checkVolume(root)
  await open(name).deleteManifest(image.digest)
  assert.equal(await open(name).deleteBlob(layer.digest), true)
})

test('an image that an index needs cannot be deleted before it', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const repository = open(name)
  const index = makeIndex([small(), small()])
  await pushImage(repository, index, 'multi')
  const [child] = index.children
  assert.ok(child !== undefined)
  await assert.rejects(repository.deleteManifest(child.digest), {
    code: 'UNSUPPORTED',
    status: 405,
  })
  await checkVolume(root)
  assert.equal(await repository.deleteManifest(index.digest), true)
  assert.equal(await repository.deleteManifest(child.digest), true)
})

test('a pull that has begun ends, although what it reads is deleted (H128)', async (t) => {
  const { open } = await openHostedRegistry(t)
  const repository = open(name)
  const blob = randomBlob(200_000)
  await pushBlob(repository, blob)
  const found = await repository.blob(blob.digest)
  assert.ok(found !== undefined)
  await repository.deleteBlob(blob.digest)
  const piece = await found.content.next(0)
  assert.ok(piece.kind === 'file' ? piece.end > 0 : piece.bytes.length > 0)
  found.content.close()
  assert.equal(await repository.blob(blob.digest), undefined)
})

test('pushes, deletes and tags at random on one repository leave no tag without what it needs (H122)', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const repository = open(name)
  const random = createRandom(t)
  const shared = randomBlob(50)
  const images = Array.from({ length: 4 }, () => makeImage({ layers: [shared, randomBlob(50)] }))
  const indexes = [makeIndex(images.slice(0, 2)), makeIndex(images.slice(1, 4))]
  const all = [...images, ...indexes]
  const tags = ['a', 'b', 'c']
  const acceptable = (error: unknown) => {
    const code = error instanceof Error && 'code' in error ? error.code : error
    assert.ok(code === 'MANIFEST_BLOB_UNKNOWN' || code === 'UNSUPPORTED', String(error))
  }
  const step = async (): Promise<void> => {
    const image = random.pick(all)
    const blob = random.pick(images.flatMap(({ blobs }) => blobs))
    await random.pick<() => Promise<unknown>>([
      () => pushImage(repository, image, random.pick(tags)),
      () => putManifest(repository, image, [random.pick(tags)]),
      () => repository.deleteManifest(image.digest),
      () => repository.deleteBlob(blob.digest),
      () => repository.deleteTag(parseTag(random.pick(tags))),
    ])()
  }
  const client = async () => {
    for (let at = 0; at < 25; at += 1) await step().catch(acceptable)
  }
  await Promise.all(Array.from({ length: 4 }, client))
  await checkVolume(root)
})
