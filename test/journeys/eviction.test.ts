import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get } from '../support/client.ts'
import { diskUseOf } from '../support/disk.ts'
import { type Blob, type Image, makeImage, makeIndex, randomBlob } from '../support/images.ts'
import { getBlob, pullBlob, pullImage } from '../support/pull.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const mebibyte = 1024 * 1024

const upstream = await useUpstream()
const berth = useBerth()

function start(maxSize: number, ttl = '1h'): Promise<void> {
  return berth.start({
    config: {
      upstreams: [{ url: upstream.url, tags: { ttl, staleIfError: '24h' } }],
      storage: { cache: { maxSize, minimumFree: 0, scrubRate: 0 } },
    },
  })
}

function newBlob(size: number): Blob {
  const blob = randomBlob(size)
  upstream.putBlob('p/r', blob)
  return blob
}

function newImage(name: string): Image {
  const image = makeImage({ layers: [randomBlob(200_000)] })
  upstream.put(name, 'v1', image)
  return image
}

async function askManifest(name: string, reference: string): Promise<number> {
  return (await get(`${berth.url}/v2/${name}/manifests/${reference}`)).status
}

for (const [how, ttl] of [
  ['answered from memory', '1h'],
  ['revalidated', '0s'],
] as const) {
  test(`an image whose manifest is ${how} between others is there after a restart in an outage (2, 48, C197)`, async () => {
    await start(3 * mebibyte, ttl)
    const hot = newImage('p/hot')
    await pullImage(berth, 'p/hot', hot, 'v1')
    for (let at = 0; at < 40; at += 1) {
      await pullImage(berth, `p/cold${at}`, newImage(`p/cold${at}`), 'v1')
      assert.equal(await askManifest('p/hot', 'v1'), 200)
    }
    assert.ok((await berth.metric('berth_cache_evictions_total')) > 20)
    await upstream.stop()
    try {
      await berth.restart()
      await pullImage(berth, 'p/hot', hot, 'v1')
      await pullImage(berth, 'p/hot', hot)
    } finally {
      await upstream.start()
    }
  })
}

test('an index that is pulled keeps what its images name, as far as it is there (C197)', async () => {
  await start(3 * mebibyte)
  const index = makeIndex([makeImage({ layers: [randomBlob(200_000)] }), makeImage()])
  upstream.put('p/hot', 'v1', index)
  await pullImage(berth, 'p/hot', index, 'v1')
  for (let at = 0; at < 20; at += 1) {
    await pullImage(berth, `p/cold${at}`, newImage(`p/cold${at}`), 'v1')
    assert.equal(await askManifest('p/hot', 'v1'), 200)
  }
  await upstream.stop()
  try {
    await berth.restart()
    await pullImage(berth, 'p/hot', index, 'v1')
  } finally {
    await upstream.start()
  }
})

test('a cached image is pulled by tag after a restart in an outage (48)', async () => {
  await start(8 * mebibyte)
  const image = newImage('p/hot')
  await pullImage(berth, 'p/hot', image, 'v1')
  await berth.restart()
  await upstream.stop()
  try {
    await pullImage(berth, 'p/hot', image, 'v1')
  } finally {
    await upstream.start()
  }
})

test('an upstream that announces much and sends a byte evicts nothing (39, C202)', async () => {
  await start(12 * mebibyte)
  const warm = Array.from({ length: 20 }, () => newBlob(mebibyte / 2))
  for (const blob of warm) await pullBlob(berth, 'p/r', blob)
  const liar = newBlob(10 * mebibyte)
  upstream.on(
    liar.digest,
    async ({ head, write, reset }) => {
      head(200, { 'content-length': String(liar.bytes.length) })
      await write(liar.bytes.subarray(0, 1))
      reset()
    },
    1,
  )
  upstream.on(liar.digest, ({ reply }) => reply(404))
  await getBlob(berth, 'p/r', liar).catch(() => {})
  assert.ok(upstream.count(`GET /v2/p/r/blobs/${liar.digest}`) >= 2)
  assert.equal(await berth.metric('berth_cache_evictions_total'), 0)
  upstream.behave()
  await upstream.stop()
  try {
    for (const blob of warm) assert.equal(await pullBlob(berth, 'p/r', blob), 'hit')
  } finally {
    await upstream.start()
  }
})

test('small blobs of unknown size evict no more than they need, and all are stored (39, C202)', async () => {
  await start(12 * mebibyte)
  const warm = Array.from({ length: 20 }, () => newBlob(mebibyte / 2))
  for (const blob of warm) await pullBlob(berth, 'p/r', blob)
  const chunked = Array.from({ length: 10 }, () => newBlob(1000))
  for (const { digest, bytes } of chunked)
    upstream.on(digest, async ({ head, write, end }) => {
      head(200, { 'transfer-encoding': 'chunked' })
      await write(`${bytes.length.toString(16)}\r\n`)
      await write(bytes)
      await write('\r\n0\r\n\r\n')
      end()
    })
  const how = await Promise.all(chunked.map((blob) => pullBlob(berth, 'p/r', blob)))
  assert.deepEqual(new Set(how), new Set(['miss']))
  assert.equal(await berth.metric('berth_cache_evictions_total'), 0)
})

test('hundreds of tags that are only asked for stay within the limit (44, C207)', async () => {
  const limit = 8 * mebibyte
  await start(limit)
  const image = newImage('p/r')
  for (let at = 0; at < 400; at += 1) upstream.put('p/r', `t${at}`, image)
  const ask = async (from: number) => {
    for (let at = from; at < 400; at += 8) {
      const { status } = await get(`${berth.url}/v2/p/r/manifests/t${at}`, { method: 'HEAD' })
      assert.equal(status, 200)
    }
  }
  await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map(ask))
  assert.ok((await diskUseOf(berth.cache)) < limit / 4)
})
