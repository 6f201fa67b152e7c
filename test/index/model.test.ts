import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Ask } from '../../src/index/database/database.ts'
import { createOperations } from '../../src/index/database/operations.ts'
import type { Change } from '../../src/index/index.ts'
import { verifyVolume } from '../../src/index/verify-volume.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import type { RepositoryName } from '../../src/oci/reference.ts'
import { type Image, makeImage, makeIndex, manifestOf, randomBlob } from '../support/images.ts'
import { expectedAnswers } from './answers.ts'
import { createVolume, type Volume } from './volume.ts'

const names = ['a', 'a/b', 'a-b', 'c/d'] as const
const tags = ['latest', '1.9', '1.10'] as const
const layers = [1, 2, 3, 4].map((size) => randomBlob(100 * size))
const [one, two, three, four] = layers
assert.ok(one && two && three && four)
const images: readonly Image[] = [
  makeImage({ layers: [one, two] }),
  makeImage({ layers: [two, three], docker: true }),
  makeImage({ layers: [one, four], extra: { annotations: { a: 'b' } } }),
]
const [first, second, third] = images
assert.ok(first && second && third)
const descriptor = ({ digest, bytes, mediaType }: Image) => ({
  mediaType,
  digest,
  size: bytes.length,
})
const signature = manifestOf(mediaTypes.ociManifest, {
  config: { mediaType: 'application/x.signature', digest: three.digest, size: 300 },
  layers: [],
  subject: descriptor(first),
})
/** BuildKit's cache is an index of layers and a config (moby/buildkit, cache/remotecache/export.go). */
const buildCache = manifestOf(mediaTypes.ociIndex, {
  manifests: [two, four].map(({ digest, bytes }) => ({
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    digest,
    size: bytes.length,
  })),
})
const manifests = [
  buildCache,
  first,
  second,
  third,
  makeIndex([first, second]),
  makeIndex([third, first]),
  signature,
]
const blobs = [...layers, ...images.flatMap((image) => image.blobs)]

/** One thing that happens to the volume; returns its changes. */
type Step = (volume: Volume, at: number) => readonly Change[]

const name = fc.constantFrom(...names)
const tag = fc.constantFrom(...tags)
const manifest = fc.constantFrom(...manifests)
const blob = fc.constantFrom(...blobs)

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(name, blob).map(
    ([n, b]): Step =>
      (volume, at) =>
        volume.pushBlob(n, b, at),
  ),
  fc.tuple(name, manifest).map(
    ([n, m]): Step =>
      (volume, at) =>
        volume.putManifest(n, m, at),
  ),
  fc.tuple(name, manifest, tag).map(
    ([n, m, t]): Step =>
      (volume, at) =>
        volume.pushImage(n, m, at, t),
  ),
  fc.tuple(name, manifest, tag).map(
    ([n, m, t]): Step =>
      (volume, at) =>
        volume.setTag(n, t, m.digest, at),
  ),
  fc.tuple(name, tag).map(
    ([n, t]): Step =>
      (volume) =>
        volume.untag(n, t),
  ),
  fc.tuple(name, manifest).map(
    ([n, m]): Step =>
      (volume) =>
        volume.removeManifest(n, m.digest),
  ),
  fc.tuple(name, blob).map(
    ([n, b]): Step =>
      (volume) =>
        volume.unlink(n, b.digest),
  ),
  blob.map(
    ({ digest }): Step =>
      (volume) =>
        volume.removeBlob(digest),
  ),
)
/** The layout tells the age of a tag, not its time. So times are hours apart, and compared as hours. */
const hour = 3_600_000
const timeOf = (step: number): number => hour * (step + 1)
const steps = fc.array(step, { maxLength: 40 })

function openDatabase() {
  const operations = createOperations({
    database: ':memory:',
    journal: undefined,
    cleanMark: undefined,
  })
  operations.open({ discard: false, pullsLost: false })
  const ask: Ask = async (operation, ...args) =>
    Reflect.apply(operations[operation], undefined, args)
  return { ...operations, ask }
}

type Operations = ReturnType<typeof openDatabase>

async function verify({ ask }: Operations, volume: Volume, before: () => void = () => {}) {
  await verifyVolume({
    ask: async (operation, ...args) => {
      // Between reading the volume and writing what was found.
      if (operation.startsWith('found') || operation === 'addManifests') before()
      return ask(operation, ...args)
    },
    source: volume.source,
    rest: 0,
    onSubject: undefined,
    onBlobs: () => {},
    signal: new AbortController().signal,
  })
}

/** Compares all answers but those about quotas. */
function assertAnswers(database: Operations, volume: Volume): void {
  const expected = expectedAnswers(volume)
  for (const prefix of ['', 'a', 'c'])
    assert.deepEqual(database.repositories({ prefix }).entries, expected.repositories(prefix))
  for (const { digest } of [...blobs, ...manifests]) {
    assert.deepEqual(database.referencedBy(digest), expected.referencedBy(digest))
    assert.deepEqual(database.linkedIn(digest), expected.linkedIn(digest))
  }
  assert.deepEqual(database.unreferenced(undefined, 1000), expected.unreferenced())
  assert.deepEqual(database.unreferencedLinks(undefined, 1000), expected.unreferencedLinks())
  assert.deepEqual(database.totals(), expected.totals())
  for (const repository of volume.repositories.keys()) {
    assert.deepEqual(database.tags(repository, {}).entries, expected.tags(repository))
    const found = database.images(repository).map((image) => ({
      digest: image.digest,
      mediaType: image.mediaType,
      subject: image.subject,
      children: image.children,
      parents: image.parents,
      tags: image.tags.map(({ tag: own, at }) => ({ tag: own, at: hour * Math.round(at / hour) })),
    }))
    assert.deepEqual(found, expected.images(repository))
  }
}

test('after any changes, all answers are those of a simple model', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const [volume, database] = [createVolume(), openDatabase()]
      for (const [at, change] of all.entries()) database.apply(change(volume, timeOf(at)))
      assertAnswers(database, volume)
      database.close(undefined)
    }),
    { numRuns: 150 },
  )
})

test('a database that is made from the volume gives the same answers as one that was told of each change', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const [volume, database] = [createVolume(), openDatabase()]
      for (const [at, change] of all.entries()) change(volume, timeOf(at))
      await verify(database, volume)
      assertAnswers(database, volume)
      database.close(undefined)
    }),
    { numRuns: 100 },
  )
})

test('changes during a comparison with the volume win over what it found', async () => {
  const during = fc.array(fc.tuple(step, fc.nat({ max: 3 })), { maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(steps, steps, during, async (known, missed, later) => {
      const [volume, database] = [createVolume(), openDatabase()]
      let at = 0
      const happen = (one: Step) => {
        at += 1
        return one(volume, timeOf(at))
      }
      for (const one of known) database.apply(happen(one))
      for (const one of missed) happen(one)
      const queue = [...later]
      let wait = 0
      await verify(database, volume, () => {
        for (; wait <= 0 && queue.length > 0; ) {
          const [one, gap] = queue.shift() ?? []
          if (one !== undefined) database.apply(happen(one))
          wait = gap ?? 0
        }
        wait -= 1
      })
      for (const [one] of queue) database.apply(happen(one))
      assertAnswers(database, volume)
      database.close(undefined)
    }),
    { numRuns: 150 },
  )
})

test('a quota counts what manifests reference, and blobs that no manifest of the repository has referenced yet', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const [volume, database] = [createVolume(), openDatabase()]
      const unused = new Map<RepositoryName, Set<Digest>>()
      for (const [at, change] of all.entries()) {
        const before = new Map([...volume.repositories].map(([n, r]) => [n, new Set(r.links)]))
        database.apply(change(volume, timeOf(at)))
        for (const [repository, { links }] of volume.repositories) {
          const counted = unused.get(repository) ?? new Set()
          unused.set(repository, counted)
          for (const digest of links) if (!before.get(repository)?.has(digest)) counted.add(digest)
          const isUsed = (digest: Digest) =>
            expectedAnswers(volume)
              .referencedBy(digest)
              .some((by) => by.name === repository)
          for (const digest of counted)
            if (!links.has(digest) || isUsed(digest)) counted.delete(digest)
        }
      }
      for (const prefix of ['', 'a', 'c'])
        assert.deepEqual(
          database.bytes(prefix),
          expectedAnswers(volume).bytes(prefix, (repository) => unused.get(repository) ?? []),
        )
      database.close(undefined)
    }),
    { numRuns: 100 },
  )
})
