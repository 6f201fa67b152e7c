import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRepositoryName, parseTag } from '../../../src/oci/reference.ts'
import {
  bodyOf,
  openHostedRegistry,
  pushBlob,
  pushImage,
  putManifest,
  startUpload,
} from '../../support/hosted-registry.ts'
import { checkVolume, uploadsOnDisk } from '../../support/hosted-volume.ts'
import { makeImage, randomBlob } from '../../support/images.ts'

const small = () => makeImage({ layers: [randomBlob(100)] })
const limited = (quota: number) => [
  { prefix: 'local', anonymous: false },
  { prefix: 'limited', anonymous: false, quota },
]
const kibibyte = 1024

test('pushes that exceed a quota are denied, counted in different blobs (H136)', async (t) => {
  const { open, root } = await openHostedRegistry(t, {
    index: true,
    prefixes: limited(100 * kibibyte),
  })
  const blob = randomBlob(40 * kibibyte)
  await pushBlob(open('limited/one'), blob)
  await pushBlob(open('limited/two'), blob)
  await pushBlob(open('local/app'), randomBlob(200 * kibibyte))

  const other = randomBlob(70 * kibibyte)
  const denied = {
    code: 'DENIED',
    status: 403,
    message: /the quota of limited\/\*\* is exceeded.*40960 bytes of 102400 bytes are used/,
  }
  await assert.rejects(pushBlob(open('limited/one'), other), denied)
  await assert.rejects(
    open('limited/one').startUpload({ writer: 'user alice', algorithm: 'sha256', size: 70_000 }),
    denied,
  )
  await pushBlob(open('local/other'), other)
  const from = parseRepositoryName('local/other')
  const mayPull = () => true
  await assert.rejects(open('limited/one').mount({ digest: other.digest, from, mayPull }), denied)
  assert.deepEqual(await uploadsOnDisk(root), [])
  assert.equal(await open('limited/one').statBlob(other.digest), undefined)
  await checkVolume(root)
})

test('sessions under way count against a quota, and what they did not use is free again', async (t) => {
  const { open } = await openHostedRegistry(t, { index: true, prefixes: limited(100 * kibibyte) })
  const repository = open('limited/app')
  const blob = randomBlob(60 * kibibyte)
  const first = await startUpload(repository)
  await repository.append(first, bodyOf(blob.bytes))
  await assert.rejects(pushBlob(repository, randomBlob(60 * kibibyte)), { code: 'DENIED' })
  await repository.cancelUpload(first)
  await pushBlob(repository, blob)
})

test('deleting an image frees its quota at once', async (t) => {
  const { open, root } = await openHostedRegistry(t, {
    index: true,
    prefixes: limited(100 * kibibyte),
  })
  const repository = open('limited/app')
  const image = makeImage({ layers: [randomBlob(90 * kibibyte)] })
  const next = makeImage({ layers: [randomBlob(90 * kibibyte)] })
  await pushImage(repository, image, 'v1')
  await assert.rejects(pushImage(repository, next, 'v2'), { code: 'DENIED' })
  await repository.deleteManifest(image.digest)
  await pushImage(repository, next, 'v2')
  await checkVolume(root)
})

test('a quota cannot be exceeded by many pushes at once', async (t) => {
  const { open, index } = await openHostedRegistry(t, {
    index: true,
    prefixes: limited(100 * kibibyte),
  })
  const pushes = Array.from({ length: 12 }, (_, at) =>
    pushBlob(open(`limited/app${at}`), randomBlob(20 * kibibyte)),
  )
  const results = await Promise.allSettled(pushes)
  const stored = results.filter(({ status }) => status === 'fulfilled').length
  assert.ok(stored >= 1 && stored <= 5, `${stored} of 20 KiB in 100 KiB`)
  const { unique } = (await index?.bytes('limited')) ?? { unique: 0 }
  assert.equal(unique, stored * 20 * kibibyte)
})

test('a blob is mounted without a source from any repository that the client may pull from (H135)', async (t) => {
  const { open } = await openHostedRegistry(t, { index: true })
  const { digest, bytes } = randomBlob(100)
  await pushBlob(open('local/secret'), { digest, bytes })
  const target = open('local/target')
  const mayPull = (name: string) => name !== 'local/secret'
  assert.equal(await target.mount({ digest, mayPull }), false)
  assert.equal(await target.statBlob(digest), undefined)
  await pushBlob(open('local/open'), { digest, bytes })
  assert.equal(await target.mount({ digest, mayPull }), true)
  assert.deepEqual(await target.statBlob(digest), { size: 100 })
})

test('what was pushed and deleted is listed right at once, from the index', async (t) => {
  const { open, registry } = await openHostedRegistry(t, { index: true })
  const image = small()
  for (const name of ['local/b', 'local/a/x', 'local/a']) await pushImage(open(name), image, 'v1')
  await pushBlob(open('local/without'), randomBlob(10))
  assert.deepEqual(await registry.catalog(), ['local/a', 'local/a/x', 'local/b'])
  await open('local/a').deleteManifest(image.digest)
  assert.deepEqual(await registry.catalog(), ['local/a/x', 'local/b'])
})

test('a manifest is deleted with all its tags, which the index finds', async (t) => {
  const { open, root } = await openHostedRegistry(t, { index: true })
  const repository = open('local/app')
  const [image, other] = [small(), small()]
  const tags = Array.from({ length: 30 }, (_, at) => `v${at}`)
  await pushImage(repository, image, ...tags)
  await pushImage(repository, other, 'v7')
  await repository.deleteManifest(image.digest)
  assert.deepEqual((await repository.tags({}))?.tags, ['v7'])
  assert.deepEqual(await checkVolume(root), [
    { name: 'local/app', tag: 'v7', digest: other.digest },
  ])
})

test('what a manifest needs cannot be deleted, also right after it was pushed', async (t) => {
  const { open } = await openHostedRegistry(t, { index: true })
  const repository = open('local/app')
  const image = small()
  await pushImage(repository, image, 'v1')
  for (const { digest } of image.blobs)
    await assert.rejects(repository.deleteBlob(digest), { code: 'UNSUPPORTED' })
  await repository.deleteManifest(image.digest)
  for (const { digest } of image.blobs) assert.equal(await repository.deleteBlob(digest), true)
})

test('pulls, and who has pushed, are told to the index', async (t) => {
  const { open, index } = await openHostedRegistry(t, { index: true })
  const name = parseRepositoryName('local/app')
  const repository = open(name)
  const image = small()
  await pushImage(repository, image, 'v1')
  const record = async () => (await index?.images(name))?.[0]
  assert.equal((await record())?.pushedBy, 'user alice')
  assert.equal((await record())?.pulledAt, undefined)
  await repository.manifest({ digest: image.digest })
  await repository.manifest({ tag: parseTag('v1') })
  assert.ok((await record())?.pulledAt)
  assert.ok((await record())?.tags[0]?.pulledAt)
  await putManifest(repository, image, ['v2'])
  assert.equal((await record())?.tags.length, 2)
})
