import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMissingImages, keepCached } from '../../src/in-use/in-use.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { parseImageReference } from '../../src/oci/image-reference.ts'
import { makeImage, makeIndex } from '../support/images.ts'

const referring = (...texts: string[]) => ({ references: () => texts.map(parseImageReference) })

function cacheOf(blobs: ReadonlyMap<Digest, Buffer>) {
  const used = new Set<Digest>()
  return {
    used,
    use: (digest: Digest) => {
      if (blobs.has(digest)) used.add(digest)
      return blobs.has(digest)
    },
    read: async (digest: Digest) => blobs.get(digest),
  }
}

test('all cached blobs of an image in use count as used: index, image, config and layers', async () => {
  const [image, other, unused] = [makeImage(), makeImage(), makeImage()]
  const index = makeIndex([image, other])
  const parts = [image, ...image.blobs]
  const cached = [index, ...parts, unused, ...unused.blobs]
  const cache = cacheOf(new Map(cached.map(({ digest, bytes }) => [digest, bytes])))
  await keepCached({
    inUse: referring(`h:1/p/app@${index.digest}`),
    cache,
    cachedDigest: async () => undefined,
  })
  assert.deepEqual(cache.used, new Set([index, ...parts].map(({ digest }) => digest)))
})

test('a tag in use counts by the digest that the cache knows for it', async () => {
  const image = makeImage()
  const blobs = [image, ...image.blobs]
  const cache = cacheOf(new Map(blobs.map(({ digest, bytes }) => [digest, bytes])))
  await keepCached({
    inUse: referring('h:1/p/app:1', 'h:1/p/unknown:1', 'not an image'),
    cache,
    cachedDigest: async (name, tag) => (`${name}:${tag}` === 'p/app:1' ? image.digest : undefined),
  })
  assert.equal(cache.used.size, blobs.length)
})

test('a tag in use that its registry no longer has is listed until it is back', async () => {
  const gone = new Set(['p/gone:1'])
  const asked: string[] = []
  const warnings: object[] = []
  const missing = createMissingImages({
    inUse: referring('berth:1/p/gone:1', 'berth:1/p/app:1', 'elsewhere:1/p/gone:2'),
    hosts: ['berth:1'],
    exists: async (name, tag) => {
      asked.push(`${name}:${tag}`)
      return !gone.has(`${name}:${tag}`)
    },
    pause: 0,
    signal: new AbortController().signal,
    log: { warn: (fields) => warnings.push(fields) },
  })
  await missing.check()
  await missing.check()
  assert.deepEqual(missing.list(), ['p/gone:1'])
  assert.equal(warnings.length, 1)
  gone.clear()
  await missing.check()
  assert.deepEqual(missing.list(), [])
  assert.ok(!asked.includes('p/gone:2'), 'another registry was asked about')
})

test('an upstream that does not answer changes nothing', async () => {
  let answer: () => boolean = () => false
  const missing = createMissingImages({
    inUse: referring('berth:1/p/app:1'),
    hosts: ['berth:1'],
    exists: async () => answer(),
    pause: 0,
    signal: new AbortController().signal,
    log: { warn: () => {} },
  })
  await missing.check()
  answer = () => {
    throw new Error('unreachable')
  }
  await missing.check()
  assert.deepEqual(missing.list(), ['p/app:1'])
})
