import assert from 'node:assert/strict'
import { mkdir, rm, truncate, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { blobPath, linksPath } from '../../src/store/paths.ts'
import { eventually } from '../support/berth.ts'
import { partsOf } from '../support/byteranges.ts'
import { get } from '../support/client.ts'
import { damages, flipBlob } from '../support/disk.ts'
import { type Blob, makeImage, randomBlob } from '../support/images.ts'
import { getBlob, pullBlob, pullImage } from '../support/pull.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const small = 10_000
const large = 3_000_000

const upstream = await useUpstream()
const berth = useBerth({ config: { upstreams: [{ url: upstream.url }] } })

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
    await berth.restart()
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
    await berth.restart()
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

function ask({ digest }: Blob, range?: string, method = 'GET') {
  const headers = { ...(range !== undefined && { range: `bytes=${range}` }) }
  return get(`${berth.url}/v2/p/r/blobs/${digest}`, { method, headers })
}

for (const restarts of [false, true]) {
  const when = restarts ? 'after a restart' : 'while Berth runs'

  test(`a range over a byte that was flipped ${when} is right or cut, never wrong (C57, C203)`, async () => {
    const blob = await cached(large)
    await flipBlob(berth.cache, blob.digest, 70_000)
    if (restarts) await berth.restart()
    const ranges = ['0-65535', '65536-80000', '60000-80000', '0-9,70000-70009']
    for (const range of ranges) {
      const { status, complete, body, headers } = await ask(blob, range)
      assert.ok(status === 206 || status >= 500, `${status}`)
      if (status !== 206 || !complete) continue
      const parts =
        headers['content-range'] === undefined
          ? partsOf({ headers, body })
          : [{ range, bytes: body }]
      for (const part of parts) {
        const [first = 0, last = 0] = part.range.split('-').map(Number)
        assert.ok(part.bytes.equals(blob.bytes.subarray(first, last + 1)), part.range)
      }
    }
    assert.equal((await ask(blob, '65536-80000')).status, 206)
    assert.equal(await berth.metric('berth_cache_corruptions_total'), 1)
  })

  test(`a file that was cut short ${when} does not tell its size to anybody (C58, C203)`, async () => {
    for (const question of ['HEAD', '2000000-2000099', '-100'] as const) {
      const blob = await cached(large)
      await truncate(blobPath(berth.cache, blob.digest), 1_000_000)
      if (restarts) await berth.restart()
      if (question === 'HEAD') {
        assert.equal((await ask(blob, undefined, 'HEAD')).headers['content-length'], `${large}`)
        await pullBlob(berth, 'p/r', blob)
        continue
      }
      const { status, headers, body } = await ask(blob, question)
      assert.equal(status, 206)
      const first = question === '-100' ? large - 100 : 2_000_000
      assert.equal(headers['content-range'], `bytes ${first}-${first + 99}/${large}`)
      assert.ok(body.equals(blob.bytes.subarray(first, first + 100)))
    }
  })
}

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

const linkDamages: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  'no bytes': (path) => writeFile(path, ''),
  garbage: (path) => writeFile(path, 'sha256:0123'),
  'a directory in its place': (path) => rm(path).then(() => mkdir(path)),
}

for (const [damage, inflict] of Object.entries(linkDamages)) {
  test(`a cache whose file of links has ${damage} asks anew (C60)`, async () => {
    const image = makeImage()
    upstream.put('p/r', 'v1', image)
    await pullImage(berth, 'p/r', image, 'v1')
    await berth.stop()
    await inflict(linksPath(berth.cache))
    await berth.restart()
    const asked = upstream.requests.length
    await pullImage(berth, 'p/r', image, 'v1')
    assert.ok(upstream.requests.length > asked)
  })
}
