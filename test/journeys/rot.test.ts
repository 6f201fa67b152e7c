import assert from 'node:assert/strict'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { blobPath, repositoriesDirectory } from '../../src/store/paths.ts'
import {
  type Berth,
  checkInvariants,
  eventually,
  removeBerth,
  startBerth,
} from '../support/berth.ts'
import { get } from '../support/client.ts'
import { damages, flipBlob } from '../support/disk.ts'
import { type Blob, makeImage, randomBlob } from '../support/images.ts'
import { getBlob, pullBlob, pullImage } from '../support/pull.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

const small = 10_000
const large = 3_000_000

let upstream: ScriptedUpstream
let berth: Berth

before(async () => {
  upstream = await startScriptedUpstream()
})
after(() => upstream.close())
beforeEach(async () => {
  upstream.behave()
  berth = await startBerth({ config: { upstreams: [{ url: upstream.url }] } })
})
afterEach(async () => {
  await checkInvariants(berth)
  await removeBerth(berth)
})

/** A blob that Berth has stored. */
async function cached(size: number): Promise<Blob> {
  const blob = randomBlob(size)
  upstream.putBlob('p/r', blob)
  await pullBlob(berth, 'p/r', blob)
  await stored(blob)
  return blob
}

/** The reader is told of the end before the fill has done with it. */
async function stored(blob: Blob): Promise<void> {
  await eventually(
    'no fill is running',
    async () => (await berth.metric('berth_fills_in_flight')) === 0,
  )
  assert.equal(await pullBlob(berth, 'p/r', blob), 'hit')
}

for (const [damage, inflict] of Object.entries(damages)) {
  for (const size of [small, large]) {
    test(`a blob of ${size} bytes with ${damage} is never served whole, and is fetched anew (C57, C58)`, async () => {
      const blob = await cached(size)
      await inflict(blobPath(berth.cache, blob.digest), size)
      const first = await getBlob(berth, 'p/r', blob)
      assert.ok(!first.complete || first.body.equals(blob.bytes))
      await pullBlob(berth, 'p/r', blob)
      assert.equal(await berth.metric('berth_cache_corruptions_total'), 1)
      assert.equal(upstream.count(`GET /v2/p/r/blobs/${blob.digest}`), 2)
    })
  }

  test(`a blob that got ${damage} while Berth was away is found at the first read (C57, C58)`, async () => {
    const blob = await cached(large)
    await berth.stop()
    await inflict(blobPath(berth.cache, blob.digest), large)
    berth = await berth.restart()
    const first = await getBlob(berth, 'p/r', blob)
    assert.ok(!first.complete || first.body.equals(blob.bytes))
    await pullBlob(berth, 'p/r', blob)
    assert.equal(upstream.count(`GET /v2/p/r/blobs/${blob.digest}`), 2)
  })

  test(`a manifest with ${damage} is fetched anew (C60)`, async () => {
    const image = makeImage()
    upstream.put('p/r', 'v1', image)
    await pullImage(berth, 'p/r', image, 'v1')
    await berth.stop()
    await inflict(blobPath(berth.cache, image.digest), image.bytes.length)
    berth = await berth.restart()
    await pullImage(berth, 'p/r', image)
    assert.equal(upstream.count(`GET /v2/p/r/manifests/${image.digest}`), 1)
    assert.equal(await berth.metric('berth_cache_corruptions_total'), 1)
  })
}

test('a herd on a rotten blob gets no wrong byte to its end, and one download mends it (C57)', async () => {
  const blob = await cached(large)
  await flipBlob(berth.cache, blob.digest, large - 1)
  const replies = await Promise.all(Array.from({ length: 20 }, () => getBlob(berth, 'p/r', blob)))
  for (const reply of replies) assert.ok(!reply.complete || reply.body.equals(blob.bytes))
  await Promise.all(Array.from({ length: 20 }, () => pullBlob(berth, 'p/r', blob)))
  assert.equal(await berth.metric('berth_cache_corruptions_total'), 1)
  assert.equal(upstream.count(`GET /v2/p/r/blobs/${blob.digest}`), 2)
})

test('a range of a rotten blob does not get its end either (C57)', async () => {
  const blob = await cached(large)
  await flipBlob(berth.cache, blob.digest, 0)
  const range = { range: `bytes=${large - 10}-` }
  const url = `${berth.url}/v2/p/r/blobs/${blob.digest}`
  const first = await get(url, { headers: range }).catch(() => undefined)
  assert.ok(first === undefined || first.status >= 500 || !first.complete)
  const second = await get(url, { headers: range })
  assert.equal(second.status, 206)
  assert.ok(second.body.equals(blob.bytes.subarray(-10)))
})

test('a rotten blob whose upstream is away is an error, and no miss', async () => {
  const blob = await cached(small)
  await flipBlob(berth.cache, blob.digest, 0)
  await upstream.stop()
  try {
    assert.ok((await getBlob(berth, 'p/r', blob)).status >= 500)
  } finally {
    await upstream.start()
  }
})

const tagDamages: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  'no bytes': (path) => writeFile(path, ''),
  garbage: (path) => writeFile(path, 'sha256:0123'),
  'a directory in its place': (path) => rm(path).then(() => mkdir(path)),
}

for (const [damage, inflict] of Object.entries(tagDamages)) {
  test(`a tag that has ${damage} is asked for anew (C60)`, async () => {
    const image = makeImage()
    upstream.put('p/r', 'v1', image)
    await pullImage(berth, 'p/r', image, 'v1')
    await berth.stop()
    for (const path of await tagLinks(berth.cache)) await inflict(path)
    berth = await berth.restart()
    const asked = upstream.requests.length
    await pullImage(berth, 'p/r', image, 'v1')
    assert.ok(upstream.requests.length > asked)
  })
}

async function tagLinks(cache: string): Promise<readonly string[]> {
  const root = repositoriesDirectory(cache)
  const paths = await readdir(root, { recursive: true })
  const links = paths.filter((path) => path.endsWith('/tags/v1/current/link'))
  assert.equal(links.length, 1)
  return links.map((path) => join(root, path))
}
