import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '../support/berth.ts'
import { get, getPaused } from '../support/client.ts'
import { useForwardClock } from '../support/clock.ts'
import { type Blob, type Image, makeImage, randomBlob } from '../support/images.ts'
import { getBlob, pullBlob, pullImage } from '../support/pull.ts'
import { type Answering, answerInTwo } from '../support/scripted-upstream.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const name = 'p/r'
const mebibyte = 1024 * 1024
/** Downloads that one repository may have at once. */
const share = 24

const upstream = await useUpstream()
const storage = await useUpstream()
const berth = useBerth()

function start(config: Readonly<Record<string, unknown>> = {}): Promise<void> {
  const upstreams = [{ url: upstream.url, redirects: [storage.url] }]
  return berth.start({ config: { upstreams, limits: { answerTime: '400ms' }, ...config } })
}

function imageAt(repository: string, layers?: readonly Blob[]): Image {
  const image = makeImage(layers && { layers })
  upstream.put(repository, 'v1', image)
  return image
}

function layerOf({ blobs }: Image): Blob {
  const layer = blobs[1]
  assert.ok(layer !== undefined)
  return layer
}

function blobsAt(repository: string, count: number, size = 200_000): readonly Blob[] {
  return Array.from({ length: count }, () => {
    const blob = randomBlob(size)
    upstream.putBlob(repository, blob)
    return blob
  })
}

/** Bytes that come slowly, and without an end. */
const trickle: Answering = async ({ head, write, socket }) => {
  head(200, { 'content-length': String(mebibyte) })
  for (; !socket.destroyed; await sleep(50)) await write(Buffer.alloc(1024))
}

/** The right answer, once the gate is open. */
function onceOpen(gate: Promise<void>, { bytes }: { readonly bytes: Buffer }): Answering {
  return async ({ reply }) => {
    await gate
    reply(200, {}, bytes)
  }
}

const blobUrl = ({ digest }: Blob, repository = name) =>
  `${berth.url}/v2/${repository}/blobs/${digest}`

test('a layer that is late has its headers in time, as the manifest told its size (C190, issue 15, 47)', async () => {
  await start()
  const image = imageAt(name)
  const layer = layerOf(image)
  await get(`${berth.url}/v2/${name}/manifests/v1`)
  const gate = Promise.withResolvers<void>()
  upstream.on(`/blobs/${layer.digest}`, onceOpen(gate.promise, layer))
  const late = await getPaused(blobUrl(layer))
  assert.equal(late.status, 200)
  assert.equal(Number(late.headers['content-length']), layer.bytes.length)
  gate.resolve()
  const reply = await late.finish()
  assert.ok(reply.complete && reply.body.equals(layer.bytes))
  assert.equal(upstream.count(`/blobs/${layer.digest}`), 1)
})

test('a blob of which nothing is known, and a manifest, are 503 in time, and there when asked again (C190)', async () => {
  await start()
  const image = imageAt(name)
  const [blob] = blobsAt(name, 1)
  assert.ok(blob !== undefined)
  const gate = Promise.withResolvers<void>()
  upstream.on('/blobs/', onceOpen(gate.promise, blob))
  upstream.on('/manifests/', onceOpen(gate.promise, image))
  const manifest = `${berth.url}/v2/${name}/manifests/${image.digest}`
  for (const reply of await Promise.all([getBlob(berth, name, blob), get(manifest)])) {
    assert.equal(reply.status, 503)
    assert.ok(Number(reply.headers['retry-after']) >= 1)
  }
  gate.resolve()
  await eventually(
    'the blob is there',
    async () => (await getBlob(berth, name, blob)).status === 200,
  )
  assert.equal((await get(manifest)).status, 200)
  assert.equal(upstream.count(`/blobs/${blob.digest}`), 1)
  assert.equal(upstream.count(`/manifests/${image.digest}`), 1)
})

test('one repository whose layers are slow leaves others their slots (C191, C209)', async () => {
  await start()
  const slow = blobsAt('p/slow', 2 * share)
  const gate = Promise.withResolvers<void>()
  upstream.on('/p/slow/', async ({ reset }) => {
    await gate.promise
    reset()
  })
  const stuck = slow.map((blob) => getBlob(berth, 'p/slow', blob))
  await eventually('they are asked for', () => upstream.count('/p/slow/') === share)
  for (const blob of blobsAt(name, 30)) assert.equal(await pullBlob(berth, name, blob), 'miss')
  gate.resolve()
  await Promise.all(stuck)
})

test('fills whose clients have left give way to those who wait (C209, issue 46)', async () => {
  await start()
  upstream.on('/blobs/', trickle, share)
  const stuck = blobsAt(name, share).map((blob) => getPaused(blobUrl(blob)))
  for (const client of await Promise.all(stuck)) client.leave()
  const [wanted] = blobsAt(name, 1)
  assert.ok(wanted !== undefined)
  await eventually('it has a slot', async () => (await getBlob(berth, name, wanted)).status === 200)
  await upstream.stop()
  await upstream.start()
})

test('clients that stop reading what goes by uncached give way to those who wait (C209, issue 46)', async (t) => {
  await start({ storage: { cache: { maxSize: mebibyte, minimumFree: 0 } } })
  const clock = useForwardClock(t)
  const large = blobsAt(name, share, 16 * mebibyte)
  const paused = await Promise.all(large.map((blob) => getPaused(blobUrl(blob))))
  const [wanted] = blobsAt(name, 1)
  assert.ok(wanted !== undefined)
  clock.advance(6000)
  await eventually('it has a slot', async () => (await getBlob(berth, name, wanted)).status === 200)
  for (const client of paused) client.leave()
})

test('an upstream that refuses connections for a second in the middle of a blob is waited for (C200, issue 7)', async () => {
  await start()
  const [blob] = blobsAt(name, 1, 2 * mebibyte)
  assert.ok(blob !== undefined)
  const gate = Promise.withResolvers<void>()
  upstream.on('/blobs/', answerInTwo(blob.bytes, mebibyte, gate.promise), 1)
  const client = await getPaused(blobUrl(blob))
  await upstream.stop()
  await eventually(
    'it was asked again in vain',
    async () =>
      (await berth.metric('berth_fill_resumes_total{upstream="127.0.0.1"}')) > 2 ||
      berth.logs().filter(({ msg }) => msg === 'the connection of a fill broke; resuming it')
        .length > 2,
  )
  await upstream.start()
  const reply = await client.finish()
  assert.ok(reply.complete && reply.body.equals(blob.bytes))
  assert.equal(upstream.requests.at(-1)?.headers['range'], `bytes=${mebibyte}-`)
})

test('a redirect that has expired when a download is resumed is replaced by a fresh one (issue 51)', async () => {
  await start()
  const [blob] = blobsAt(name, 1, 2 * mebibyte)
  assert.ok(blob !== undefined)
  storage.putBlob('bucket', blob)
  let signature = 0
  upstream.on('/blobs/', ({ reply }) => {
    signature += 1
    reply(307, { location: `${storage.url}/v2/bucket/blobs/${blob.digest}?signature=${signature}` })
  })
  storage.on('signature=1', async ({ head, write, reset }) => {
    head(200, { 'content-length': String(blob.bytes.length) })
    await write(blob.bytes.subarray(0, mebibyte))
    reset()
  })
  storage.on('signature=2', ({ reply }) => reply(403, {}, 'expired'))
  assert.equal(await pullBlob(berth, name, blob), 'miss')
  assert.equal(signature, 3)
})

test('images for which the upstream answers 500, and a redirect target that is down, cost no others anything (C205, issue 42)', async () => {
  await start()
  await storage.stop()
  const bad = Array.from({ length: 5 }, (_, at) => imageAt(`p/bad${at}`))
  upstream.on('/p/bad', ({ reply }) => reply(500))
  const lost = blobsAt('p/lost', 6)
  upstream.on('/p/lost/', ({ reply }) => reply(307, { location: `${storage.url}/object` }))
  for (const [at] of bad.entries())
    assert.equal((await get(`${berth.url}/v2/p/bad${at}/manifests/v1`)).status, 503)
  for (const blob of lost) assert.equal((await getBlob(berth, 'p/lost', blob)).status, 503)
  for (let at = 0; at < 10; at += 1)
    await pullImage(berth, `p/good${at}`, imageAt(`p/good${at}`), 'v1')
  await storage.start()
})

test('a list that is throttled silences no pull (C189, issue 14)', async () => {
  await start()
  upstream.on('/tags/list', ({ reply }) => reply(429, { 'retry-after': '60' }))
  const image = imageAt(name)
  assert.equal((await get(`${berth.url}/v2/${name}/tags/list`)).status, 503)
  await pullImage(berth, name, image, 'v1')
})
