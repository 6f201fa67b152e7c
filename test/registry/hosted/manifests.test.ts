import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { test } from 'node:test'
import { digestOf } from '../../../src/oci/digest.ts'
import { mediaTypes } from '../../../src/oci/manifest.ts'
import { parseRepositoryName, parseTag } from '../../../src/oci/reference.ts'
import {
  type Opened,
  openHostedRegistry,
  pushBlob,
  pushImage,
  putManifest,
} from '../../support/hosted-registry.ts'
import { checkVolume } from '../../support/hosted-volume.ts'
import {
  blobOf,
  type Image,
  makeImage,
  makeIndex,
  manifestOf,
  randomBlob,
} from '../../support/images.ts'
import { volumePath } from '../../support/volume.ts'

const name = 'local/app'
const writer = 'user alice'

const small = () => makeImage({ layers: [randomBlob(100)] })
const pulled = async (repository: Opened, tag: string) =>
  (await repository.manifest({ tag: parseTag(tag) }))?.digest

test('a pushed image is pulled by tag and by digest as it was, after a restart too (H126)', async (t) => {
  const before = await openHostedRegistry(t)
  const { bytes, mediaType, blobs } = small()
  const odd = Buffer.from(`  ${bytes.toString().replace('{', '{ "x-unknown":\t[1 ],')}\n`)
  const image: Image = { digest: digestOf(odd), bytes: odd, mediaType, blobs, children: [] }
  await pushImage(before.open(name), image, 'v1')
  const after = await before.restart()
  for (const { open } of [after])
    for (const reference of [{ tag: parseTag('v1') }, { digest: image.digest }]) {
      const found = await open(name).manifest(reference)
      assert.deepEqual(found?.bytes, odd)
      assert.equal(found?.mediaType, image.mediaType)
    }
  assert.deepEqual(await checkVolume(after.root), [{ name, tag: 'v1', digest: image.digest }])
})

test('a manifest whose blobs the repository lacks is refused, and nothing of it is kept (H125)', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const image = small()
  const [config, layer] = image.blobs
  assert.ok(config !== undefined && layer !== undefined)
  await pushBlob(open(name), config)
  // The same bytes in another repository give no right to them here.
  await pushBlob(open('local/other'), layer)
  await assert.rejects(putManifest(open(name), image, ['v1']), {
    code: 'MANIFEST_BLOB_UNKNOWN',
    status: 404,
    message: new RegExp(`local/app has no blob ${layer.digest}`),
  })
  assert.equal(await open(name).manifest({ digest: image.digest }), undefined)
  assert.deepEqual(await checkVolume(root), [])
})

test('images without their blobs are accepted where the configuration says so', async (t) => {
  const prefixes = [{ prefix: 'local', anonymous: false, sparse: true }]
  const { open, root } = await openHostedRegistry(t, { prefixes })
  const image = small()
  await putManifest(open(name), image, ['v1'])
  assert.equal(await pulled(open(name), 'v1'), image.digest)
  await checkVolume(root, { sparse: [name] })
})

test('an index may lack images, a manifest its subject, and foreign layers are never needed (H125)', async (t) => {
  const { open } = await openHostedRegistry(t)
  const repository = open(name)
  const [here, elsewhere] = [small(), small()]
  await pushImage(repository, here)
  await putManifest(repository, makeIndex([here, elsewhere]), ['multi'])

  const config = blobOf(Buffer.from('{}'))
  await pushBlob(repository, config)
  const descriptor = {
    mediaType: 'application/vnd.oci.empty.v1+json',
    digest: config.digest,
    size: 2,
  }
  const foreign = {
    ...descriptor,
    digest: randomBlob(9).digest,
    urls: ['https://example.com/layer'],
  }
  await putManifest(
    repository,
    manifestOf(mediaTypes.ociManifest, { config: descriptor, layers: [foreign] }),
  )
  const { subject } = await putManifest(
    repository,
    manifestOf(mediaTypes.ociManifest, {
      config: descriptor,
      layers: [],
      subject: { mediaType: elsewhere.mediaType, digest: elsewhere.digest, size: 1 },
    }),
  )
  assert.equal(subject, elsewhere.digest)
})

test('a manifest is refused when its descriptors have other sizes than the content, unless it is there already', async (t) => {
  const { open, root, store } = await openHostedRegistry(t)
  const repository = open(name)
  const image = small()
  await pushImage(repository, image)
  const child = { mediaType: image.mediaType, digest: image.digest, size: image.bytes.length }
  const [config, layer] = image.blobs.map(({ digest, bytes }) => ({
    ...{ mediaType: 'application/octet-stream', digest, size: bytes.length },
  }))
  assert.ok(config !== undefined && layer !== undefined)
  const wrong = { ...layer, size: 99 }
  const refused = {
    code: 'MANIFEST_INVALID',
    status: 400,
    message: new RegExp(`descriptor of ${layer.digest} says 99 bytes, and the content has 100$`),
  }
  const twice = manifestOf(mediaTypes.ociManifest, { config, layers: [layer, wrong] })
  await assert.rejects(putManifest(repository, twice, ['v2']), refused)
  for (const odd of [
    manifestOf(mediaTypes.ociManifest, { config: { ...config, size: 0 }, layers: [layer] }),
    manifestOf(mediaTypes.ociIndex, { manifests: [{ ...child, size: 1 }] }),
  ])
    await assert.rejects(putManifest(repository, odd), { code: 'MANIFEST_INVALID' })
  assert.equal(await pulled(repository, 'v2'), undefined)
  assert.deepEqual(await checkVolume(root), [])

  // As by an earlier version.
  await store.blobs.put(twice.digest, twice.bytes)
  await store.links.addManifest(parseRepositoryName(name), twice.digest)
  await putManifest(repository, twice, ['v2'])
  assert.equal(await pulled(repository, 'v2'), twice.digest)
})

test('a manifest is refused when its digest, its Content-Type or its descriptors are wrong (H127)', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const repository = open(name)
  const image = small()
  await pushImage(repository, image)
  const put = (request: Partial<Parameters<Opened['putManifest']>[0]>) =>
    repository.putManifest({
      reference: { tag: parseTag('v1') },
      tags: [],
      bytes: image.bytes,
      contentType: image.mediaType,
      writer,
      ...request,
    })
  const other = randomBlob(10).digest
  await assert.rejects(put({ reference: { digest: other } }), {
    code: 'DIGEST_INVALID',
    status: 400,
  })
  const invalid = { code: 'MANIFEST_INVALID', status: 400 }
  for (const contentType of [mediaTypes.dockerManifest, 'application/json', 'text/html', ''])
    await assert.rejects(put({ contentType }), invalid, contentType)
  for (const bytes of [
    Buffer.from('no JSON'),
    Buffer.from('{}'),
    manifestOf(image.mediaType, { config: { digest: 'sha256:no' }, layers: [] }).bytes,
    manifestOf(image.mediaType, { layers: ['no descriptor'] }).bytes,
    manifestOf(mediaTypes.dockerSignedSchema1, { fsLayers: [], signatures: [] }).bytes,
  ])
    await assert.rejects(put({ bytes, contentType: undefined }), invalid, bytes.toString())
  assert.equal(await pulled(repository, 'v1'), undefined)
  await put({ contentType: `${image.mediaType.toUpperCase()}; charset=utf-8` })
  assert.equal(await pulled(repository, 'v1'), image.digest)
  await checkVolume(root)
})

test('a manifest is put by a digest of sha512, with several tags (P8)', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const repository = open(name)
  const image = small()
  await pushImage(repository, image)
  const digest = digestOf(image.bytes, 'sha512')
  await repository.putManifest({
    reference: { digest },
    tags: [parseTag('one'), parseTag('two'), parseTag('one')],
    bytes: image.bytes,
    writer,
  })
  assert.equal(await pulled(repository, 'one'), digest)
  assert.equal(await pulled(repository, 'two'), digest)
  assert.deepEqual((await repository.tags({}))?.tags, ['one', 'two'])
  await checkVolume(root)
})

test('two clients push one tag again and again: it is never torn, and the last one wins (H122)', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const repository = open(name)
  const images = Array.from({ length: 4 }, small)
  for (const image of images) await pushImage(repository, image)
  let isOver = false
  const push = async (at: number) => {
    for (let round = 0; round < 15; round += 1) {
      const image = images[(at + round) % images.length]
      if (image !== undefined) await putManifest(repository, image, ['latest'])
    }
  }
  const pull = async () => {
    while (!isOver) {
      const found = await repository.manifest({ tag: parseTag('latest') })
      if (found === undefined) continue
      assert.equal(digestOf(found.bytes), found.digest)
      assert.ok(images.some(({ digest }) => digest === found.digest))
    }
  }
  await putManifest(repository, small0(images), ['latest'])
  const pulling = pull()
  await Promise.all([0, 1, 2, 3].map(push))
  isOver = true
  await pulling
  await putManifest(repository, small0(images), ['latest'])
  assert.equal(await pulled(repository, 'latest'), small0(images).digest)
  for (const { digest } of images) assert.ok(await repository.manifest({ digest }))
  await checkVolume(root)
})

function small0(images: readonly Image[]): Image {
  const [image] = images
  assert.ok(image !== undefined)
  return image
}

test('the referrers of a manifest are those with the field and those of the fallback tag, each once', async (t) => {
  const { open } = await openHostedRegistry(t)
  const repository = open(name)
  const image = small()
  await pushImage(repository, image, 'v1')
  const empty = blobOf(Buffer.from('{}'))
  await pushBlob(repository, empty)
  const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: empty.digest, size: 2 }
  const subject = { mediaType: image.mediaType, digest: image.digest, size: image.bytes.length }
  const signature = manifestOf(mediaTypes.ociManifest, {
    artifactType: 'application/vnd.example.signature',
    config,
    layers: [config],
    subject,
    annotations: { 'org.example.key': 'value' },
  })
  const scan = manifestOf(mediaTypes.ociManifest, {
    config: { ...config, mediaType: 'application/vnd.example.scan' },
    layers: [],
    subject,
  })
  const sbom = manifestOf(mediaTypes.ociIndex, { manifests: [], subject })
  for (const referrer of [signature, scan, sbom]) await putManifest(repository, referrer)
  const described = (
    { digest, mediaType, bytes }: Image,
    fields: Readonly<Record<string, unknown>> = {},
  ) => ({ mediaType, digest, size: bytes.length, ...fields })
  const expected = [
    described(signature, {
      artifactType: 'application/vnd.example.signature',
      annotations: { 'org.example.key': 'value' },
    }),
    described(scan, { artifactType: 'application/vnd.example.scan' }),
    described(sbom),
  ].toSorted((a, b) => (a.digest < b.digest ? -1 : 1))
  assert.deepEqual((await repository.referrers(image.digest)).descriptors, expected)

  const older = small()
  await pushImage(repository, older)
  const listed = makeIndex([signature, older])
  await putManifest(repository, listed, [image.digest.replace(':', '-')])
  const { descriptors } = await repository.referrers(image.digest)
  assert.deepEqual(descriptors.slice(0, 3), expected)
  assert.equal(descriptors.length, 4)
  assert.match(JSON.stringify(descriptors[3]), new RegExp(older.digest))

  await repository.deleteManifest(signature.digest)
  assert.equal((await repository.referrers(scan.digest)).descriptors.length, 0)
  assert.equal((await open('local/other').referrers(image.digest)).descriptors.length, 0)
})

test('a blob that is lost on the disk is a fault of ours as long as a manifest needs it (C65)', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const repository = open(name)
  const [image, loose] = [small(), randomBlob(50)]
  await pushImage(repository, image, 'v1')
  await pushBlob(repository, loose)
  const [, layer] = image.blobs
  assert.ok(layer !== undefined)
  for (const { digest } of [layer, loose]) await rm(volumePath(root, digest))
  await assert.rejects(repository.statBlob(layer.digest), { code: 'UNKNOWN', status: 500 })
  await assert.rejects(repository.blob(layer.digest), { code: 'UNKNOWN' })
  assert.equal(await repository.statBlob(loose.digest), undefined)
  assert.equal(await repository.blob(loose.digest), undefined)
})

/** Tags that workloads name, as `name:tag`. */
function usedTags(named: ReadonlySet<string>) {
  return {
    hasDigest: () => false,
    hasTag: (name: string, tag: string) => named.has(`${name}:${tag}`),
    tagsOf: (name: string) =>
      [...named].flatMap((text) =>
        text.startsWith(`${name}:`) ? [parseTag(text.slice(name.length + 1))] : [],
      ),
  }
}

test('a manifest that a workload uses cannot be deleted, by whatever it names it', async (t) => {
  const named = new Set<string>()
  const digests = new Set<string>()
  const inUse = { ...usedTags(named), hasDigest: (digest: string) => digests.has(digest) }
  const { open } = await openHostedRegistry(t, { inUse })
  const [tagged, untagged, byDigest] = [small(), small(), small()]
  await pushImage(open(name), tagged, 'v1')
  await pushImage(open(name), untagged, 'v2')
  await pushImage(open(name), byDigest, 'v3')
  named.add(`${name}:v1`).add(`${name}:v2`)
  digests.add(byDigest.digest)
  await open(name).deleteTag(parseTag('v2'))
  for (const { digest } of [tagged, untagged, byDigest])
    await assert.rejects(open(name).deleteManifest(digest), {
      code: 'UNSUPPORTED',
      message: /a workload uses it; delete the workload first/,
    })
  for (const tag of ['v1', 'v2', 'v3'])
    assert.equal(
      await pulled(open(name), tag),
      tag === 'v3' ? byDigest.digest : (tag === 'v1' ? tagged : untagged).digest,
    )
  named.clear()
  digests.clear()
  for (const { digest } of [tagged, untagged, byDigest])
    assert.equal(await open(name).deleteManifest(digest), true)
})

test('a tag that was deleted is served as long as a workload names it, and is not listed', async (t) => {
  const named = new Set<string>()
  const inUse = usedTags(named)
  const { open, restart } = await openHostedRegistry(t, { inUse })
  const [image, newer] = [small(), small()]
  await pushImage(open(name), image, 'v1')
  await open(name).deleteTag(parseTag('v1'))
  assert.equal(await pulled(open(name), 'v1'), undefined)
  named.add(`${name}:v1`)
  const found = await open(name).manifest({ tag: parseTag('v1') })
  assert.deepEqual(found?.bytes, image.bytes)
  assert.match(found?.warning ?? '', /tag v1 was deleted/)
  assert.deepEqual((await open(name).tags({}))?.tags, [])
  const again = await restart()
  assert.equal(await pulled(again.open(name), 'v1'), image.digest)
  assert.equal(await pulled(again.open('local/other'), 'v1'), undefined)
  await pushImage(again.open(name), newer, 'v1')
  const renewed = await again.open(name).manifest({ tag: parseTag('v1') })
  assert.equal(renewed?.digest, newer.digest)
  assert.equal(renewed?.warning, undefined)
})

test('what an index of a build cache references are blobs, which it keeps as an image does', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const repository = open(name)
  const [layer, config] = [randomBlob(100), blobOf(Buffer.from('{"layers":[]}'))]
  for (const blob of [layer, config]) await pushBlob(repository, blob)
  const cache = manifestOf(mediaTypes.ociIndex, {
    manifests: [layer, config].map(({ digest, bytes }) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      digest,
      size: bytes.length,
    })),
  })
  await putManifest(repository, cache, ['buildcache'])
  for (const { digest } of [layer, config])
    await assert.rejects(repository.deleteBlob(digest), { code: 'UNSUPPORTED' })
  await repository.deleteManifest(cache.digest)
  assert.equal(await repository.deleteBlob(layer.digest), true)
  await checkVolume(root)
})
