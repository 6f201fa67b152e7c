import assert from 'node:assert/strict'
import { rm, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { blobPath } from '../../src/store/paths.ts'
import { eventually, visibleBlobs } from '../support/berth.ts'
import { getPaused } from '../support/client.ts'
import { openFiles } from '../support/content.ts'
import { diskUseOf } from '../support/disk.ts'
import { type Blob, makeImage, randomBlob } from '../support/images.ts'
import { getBlob, pullBlob, pullImage } from '../support/pull.ts'
import { answerInTwo, type ScriptedUpstream } from '../support/scripted-upstream.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const mebibyte = 1024 * 1024
/** Longer than what sockets take from a sender whose reader does not read. */
const long = 24 * mebibyte

const upstream = await useUpstream()
const other = await useUpstream()
const berth = useBerth()

function start(maxSize: number, scrubRate = 0): Promise<void> {
  const upstreams = [{ url: upstream.url }, { prefix: 'other', url: other.url }]
  const storage = { cache: { maxSize, minimumFree: 0, scrubRate } }
  return berth.start({ config: { upstreams, storage } })
}

function blobAt(where: ScriptedUpstream, name: string, size: number): Blob {
  const blob = randomBlob(size)
  where.putBlob(name, blob)
  return blob
}

async function isStored({ digest }: Blob): Promise<boolean> {
  return (await visibleBlobs(berth.cache)).some((visible) => visible.digest === digest)
}

test('a blob that is being read is not evicted, and what finds no room goes by (C71)', async () => {
  await start(long + mebibyte)
  const read = blobAt(upstream, 'p/r', long)
  await pullBlob(berth, 'p/r', read)
  const paused = await getPaused(`${berth.url}/v2/p/r/blobs/${read.digest}`)
  const another = blobAt(upstream, 'p/r', 2 * mebibyte)
  assert.equal(await pullBlob(berth, 'p/r', another), 'bypass')
  assert.ok((await paused.finish()).body.equals(read.bytes))
  await eventually('there is room', async () => (await pullBlob(berth, 'p/r', another)) === 'miss')
  assert.ok(!(await isStored(read)))
})

test('a blob that is read before the first scan has found it is not evicted either (C71)', async () => {
  await start(long + mebibyte)
  const read = blobAt(upstream, 'p/r', long)
  await pullBlob(berth, 'p/r', read)
  await berth.restart()
  const paused = await getPaused(`${berth.url}/v2/p/r/blobs/${read.digest}`)
  const another = blobAt(upstream, 'p/r', 2 * mebibyte)
  assert.equal(await pullBlob(berth, 'p/r', another), 'bypass')
  assert.ok((await paused.finish()).body.equals(read.bytes))
})

test('a blob that is removed while it is read is read to its end, and counted until then (C71)', async () => {
  await start(4 * long)
  const blob = blobAt(upstream, 'p/r', long)
  await pullBlob(berth, 'p/r', blob)
  const paused = await getPaused(`${berth.url}/v2/p/r/blobs/${blob.digest}`)
  await rm(blobPath(berth.cache, blob.digest))
  assert.ok((await berth.metric('berth_cache_size_bytes')) > long)
  assert.ok((await paused.finish()).body.equals(blob.bytes))
  await pullBlob(berth, 'p/r', blob)
})

test('a client that leaves does not cut the others short (INV-9)', async () => {
  await start(4 * long)
  const blob = blobAt(upstream, 'p/r', long)
  await pullBlob(berth, 'p/r', blob)
  const [leaving, staying] = [
    await getPaused(`${berth.url}/v2/p/r/blobs/${blob.digest}`),
    await getPaused(`${berth.url}/v2/p/r/blobs/${blob.digest}`),
  ]
  leaving.leave()
  await eventually('it has left', async () => (await berth.metric('berth_http_in_flight')) === 1)
  const reply = await staying.finish()
  assert.ok(reply.complete && reply.body.equals(blob.bytes))
  assert.equal(await berth.metric('berth_http_short_responses_total'), 0)
})

test('two upstreams bring the same blob at the same time, and nobody is cut short', async () => {
  await start(4 * long)
  const blob = blobAt(upstream, 'p/r', long)
  other.putBlob('q/r', blob)
  const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  upstream.on('/blobs/', answerInTwo(blob.bytes, mebibyte, first.promise), 1)
  other.on('/blobs/', answerInTwo(blob.bytes, mebibyte, second.promise), 1)
  const pulls = [pullBlob(berth, 'p/r', blob), pullBlob(berth, 'other/q/r', blob)]
  await eventually(
    'both fills run',
    async () => (await berth.metric('berth_fills_in_flight')) === 2,
  )
  first.resolve()
  await pulls[0]
  await eventually('one is done', async () => (await berth.metric('berth_fills_in_flight')) === 1)
  const paused = await getPaused(`${berth.url}/v2/p/r/blobs/${blob.digest}`)
  second.resolve()
  await pulls[1]
  await eventually('both are', async () => (await berth.metric('berth_fills_in_flight')) === 0)
  assert.ok((await berth.metric('berth_cache_size_bytes')) > 2 * long)
  const reply = await paused.finish()
  assert.ok(reply.complete && reply.body.equals(blob.bytes))
  assert.equal(await pullBlob(berth, 'other/q/r', blob), 'hit')
})

test('a blob that two repositories share outlives one of them (C73)', async () => {
  await start(4 * mebibyte)
  const shared = randomBlob(mebibyte)
  const [one, two] = [
    makeImage({ layers: [shared] }),
    makeImage({ layers: [shared, randomBlob(10)] }),
  ]
  upstream.put('p/one', 'v1', one)
  upstream.put('p/two', 'v1', two)
  await pullImage(berth, 'p/one', one, 'v1')
  await pullImage(berth, 'p/two', two, 'v1')
  assert.equal(upstream.count(`GET /v2/p/one/blobs/${shared.digest}`), 1)
  assert.equal(upstream.count(`GET /v2/p/two/blobs/${shared.digest}`), 0)

  upstream.untag('p/one', 'v1')
  upstream.on('/p/one/', ({ reply }) => reply(404))
  await berth.restart()
  assert.equal(await pullBlob(berth, 'p/two', shared), 'hit')
  await pullImage(berth, 'p/two', two)
})

test('a shared blob that was evicted comes anew for each of its repositories (C73)', async () => {
  await start(2 * mebibyte)
  const shared = blobAt(upstream, 'p/one', mebibyte)
  upstream.putBlob('p/two', shared)
  await pullBlob(berth, 'p/one', shared)
  await pullBlob(berth, 'p/two', shared)
  await pullBlob(berth, 'p/one', blobAt(upstream, 'p/one', 1.5 * mebibyte))
  assert.ok(!(await isStored(shared)))
  await pullBlob(berth, 'p/two', shared)
  await pullBlob(berth, 'p/one', shared)
})

test('a blob larger than the whole cache goes by, and nothing is evicted for it (C74)', async () => {
  await start(2 * mebibyte)
  const small = blobAt(upstream, 'p/r', mebibyte)
  await pullBlob(berth, 'p/r', small)
  const huge = blobAt(upstream, 'p/r', 8 * mebibyte)
  const how = await Promise.all([1, 2, 3].map(() => pullBlob(berth, 'p/r', huge)))
  assert.deepEqual(how, ['bypass', 'bypass', 'bypass'])
  assert.equal(await pullBlob(berth, 'p/r', small), 'hit')
  assert.equal(await berth.metric('berth_cache_evictions_total'), 0)
  assert.ok(!(await isStored(huge)))
})

test('a manifest larger than the whole cache is passed on', async () => {
  await start(100)
  const image = makeImage({ layers: [randomBlob(200)] })
  upstream.put('p/r', 'v1', image)
  await pullImage(berth, 'p/r', image, 'v1')
  await berth.restart()
  await pullImage(berth, 'p/r', image, 'v1')
})

test('ten times the cache is pulled through it at once: no pull fails, and the disk stays within (C75, INV-10)', async () => {
  const limit = 4 * mebibyte
  const clients = 12
  await start(limit, 64 * mebibyte)
  const sizes = [1, 100, 70_000, 300_000, mebibyte]
  const blobs = Array.from({ length: 140 }, (_, at) =>
    blobAt(upstream, `p/r${at % 3}`, sizes[at % sizes.length] ?? 0),
  )
  assert.ok(blobs.reduce((sum, { bytes }) => sum + bytes.length, 0) > 9 * limit)

  let pulling = true
  let most = 0
  const watching = (async () => {
    while (pulling) most = Math.max(most, await diskUseOf(berth.cache))
  })()
  const results = new Map<string, number>()
  const queue = [...blobs.entries(), ...[...blobs.entries()].filter(([at]) => at % 4 === 0)]
  const client = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const how = await pullBlob(berth, `p/r${next[0] % 3}`, next[1])
      results.set(how, (results.get(how) ?? 0) + 1)
      const counted = await berth.metric('berth_cache_size_bytes')
      assert.ok(counted <= limit + clients * mebibyte, `${counted} bytes are counted`)
    }
  }
  try {
    await Promise.all(Array.from({ length: clients }, client))
  } finally {
    pulling = false
    await watching
  }
  // A file may be on its way out while what takes its place is on its way in.
  assert.ok(most <= limit + clients * mebibyte, `${most} bytes were on the disk`)
  await eventually(
    'the disk is within the limit',
    async () => (await diskUseOf(berth.cache)) <= limit,
  )
  assert.ok((await berth.metric('berth_cache_evictions_total')) > 50)
  assert.equal(await berth.metric('berth_cache_storage_failures_total'), 0)
  assert.equal(await berth.metric('berth_cache_corruptions_total'), 0)
  await eventually('all files are closed', async () => (await openFiles(berth.cache)).length === 0)
})

test('a blob from the future is evicted like others (C81)', async () => {
  await start(2 * mebibyte)
  const future = blobAt(upstream, 'p/r', mebibyte)
  await pullBlob(berth, 'p/r', future)
  await berth.stop()
  await rm(join(berth.cache, 'recency'))
  await utimes(blobPath(berth.cache, future.digest), 4e9, 4e9)
  await berth.restart()
  assert.equal(await pullBlob(berth, 'p/r', future), 'hit')
  for (let turn = 0; turn < 3; turn += 1)
    await pullBlob(berth, 'p/r', blobAt(upstream, 'p/r', mebibyte))
  assert.ok(!(await isStored(future)))
})

test('whoever asks for what is not there gets an answer, whatever the size of the cache', async () => {
  await start(100)
  assert.equal((await getBlob(berth, 'p/r', randomBlob(10))).status, 404)
})
