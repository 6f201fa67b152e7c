import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Digest } from '../../../src/oci/digest.ts'
import { mediaTypes } from '../../../src/oci/manifest.ts'
import { parseRepositoryName } from '../../../src/oci/reference.ts'
import { createRunId } from '../../../src/store/store.ts'
import {
  type Opened,
  openHostedRegistry,
  pushBlob,
  pushImage,
  putManifest,
} from '../../support/hosted-registry.ts'
import { blobOf, type Image, makeImage, manifestOf } from '../../support/images.ts'

const empty = blobOf(Buffer.from('{}'))
const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: empty.digest, size: 2 }

/** Manifests with a subject, each with 1000 bytes of annotations. */
async function pushReferrers(repository: Opened, { digest, bytes, mediaType }: Image) {
  await pushBlob(repository, empty)
  const subject = { mediaType, digest, size: bytes.length }
  const all = Array.from({ length: 12 }, (_, at) =>
    manifestOf(mediaTypes.ociManifest, {
      artifactType: `application/x.${at % 2}`,
      config,
      layers: [],
      subject,
      annotations: { at: String(at), long: 'x'.repeat(1000) },
    }),
  )
  for (const one of all) await putManifest(repository, one)
  return all.map((one) => one.digest).toSorted()
}

/** Clients that only know the fallback tag may list anything. */
async function listByTag(
  repository: Opened,
  subject: Image,
  manifests: readonly unknown[],
): Promise<void> {
  const index = manifestOf(mediaTypes.ociIndex, { manifests })
  await putManifest(repository, index, [subject.digest.replace(':', '-')])
}

function lineOf({ mediaType, digest, bytes }: Image) {
  return { mediaType, digest, size: bytes.length }
}

function digestsIn(descriptors: readonly unknown[]): readonly Digest[] {
  return descriptors.map((descriptor) => (descriptor as { digest: Digest }).digest)
}

test('no more referrers are described than a page needs, and the pages have each of them once', async (t) => {
  const { open } = await openHostedRegistry(t)
  const repository = open('local/app')
  const image = makeImage()
  await pushImage(repository, image)
  const digests = await pushReferrers(repository, image)
  const older = [makeImage(), makeImage()]
  for (const each of older) await pushImage(repository, each)
  const others = older.map(({ digest }) => digest)
  const listed = older.map(lineOf)
  await listByTag(repository, image, listed)
  const seen: Digest[] = []
  for (let pages = 0; pages < 12; pages += 1) {
    const request = { last: seen.at(-1), maxSize: 3000 }
    const { descriptors } = await repository.referrers(image.digest, request)
    const page = digestsIn(descriptors)
    assert.ok(page.length <= 7, String(page.length))
    seen.push(...page.slice(page.indexOf(request.last ?? image.digest) + 1))
  }
  assert.deepEqual(seen, [...digests, ...others])
  const some = await repository.referrers(image.digest, {
    artifactType: 'application/x.1',
    maxSize: 100_000,
  })
  assert.equal(new Set(digestsIn(some.descriptors)).size, 6 + others.length)
})

test('what is no descriptor in the index of the fallback tag is not listed', async (t) => {
  const { open } = await openHostedRegistry(t)
  const repository = open('local/app')
  const image = makeImage()
  await pushImage(repository, image)
  const older = makeImage()
  await pushImage(repository, older)
  const sound = lineOf(older)
  const odd = [null, 1, {}, { ...sound, mediaType: 5 }, { ...sound, artifactType: {} }]
  await listByTag(repository, image, [...odd, sound, { ...sound, digest: 'x' }])
  assert.deepEqual((await repository.referrers(image.digest)).descriptors, [sound])
})

test('a referrer of the fallback tag that a client has deleted is not listed, whether or not it is still in the index', async (t) => {
  const { open } = await openHostedRegistry(t)
  const repository = open('local/app')
  const image = makeImage()
  await pushImage(repository, image)
  const older = [makeImage(), makeImage()]
  for (const each of older) await pushImage(repository, each)
  const listed = [...older, makeImage()].map(lineOf)
  const [first, second] = older as [Image, Image]
  await repository.deleteManifest(first.digest)
  // One that an index lists cannot be deleted, unless it has a subject; it may have been gone before.
  await listByTag(repository, image, listed)
  const { descriptors } = await repository.referrers(image.digest)
  assert.deepEqual(digestsIn(descriptors), [second.digest])
})

test('a referrer that another process has deleted is not listed, although the index still has it', async (t) => {
  const { open, store } = await openHostedRegistry(t, { index: true })
  const repository = open('local/app')
  const image = makeImage()
  await pushImage(repository, image)
  const [deleted, ...others] = await pushReferrers(repository, image)
  assert.ok(deleted)
  await store.links.removeManifest(parseRepositoryName('local/app'), deleted, createRunId())
  const { descriptors } = await repository.referrers(image.digest)
  assert.deepEqual(digestsIn(descriptors), others)
})
