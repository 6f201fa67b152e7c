import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { createApiClient } from '../support/api-client.ts'
import { eventually } from '../support/berth.ts'
import { basicOf } from '../support/canaries.ts'
import { get } from '../support/client.ts'
import { useDirectory } from '../support/directory.ts'
import { blobOf, type Image, makeImage, makeIndex, randomBlob } from '../support/images.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const mebibyte = 1024 * 1024
const shared = randomBlob(300_000)
const amd = makeImage({ layers: [shared, randomBlob(70_000)] })
const arm = makeImage({ layers: [shared, randomBlob(50_000)], architecture: 'arm64' })
const multi = makeIndex([amd, arm])
const other = makeImage({ layers: [shared, randomBlob(90_000)] })
const name = 'up/team/app'

const upstream = await useUpstream()
const htpasswd = join(await useDirectory(), 'htpasswd')
const berth = useBerth()
const [alice, carol] = ['alice:password of alice', 'carol:password of carol'] as const

beforeEach(async () => {
  upstream.put('team/app', 'v1', multi)
  upstream.put('team/app', 'v2', other)
  const lines = ['alice', 'carol'].map(
    async (user) => `${user}:${await hashPassword(`password of ${user}`, 4)}`,
  )
  await writeFile(htpasswd, (await Promise.all(lines)).join('\n'))
  await berth.start({
    config: {
      upstreams: [{ prefix: 'up', url: upstream.url, tags: { ttl: '1h' } }],
      storage: { cache: { maxSize: 4 * mebibyte, minimumFree: 0, scrubRate: 0 } },
      auth: {
        htpasswd,
        access: [
          { users: ['alice'], repositories: ['**'], actions: ['pull'] },
          { users: ['carol'], repositories: ['**'], actions: ['pull', 'delete'] },
        ],
      },
    },
  })
})

const client = (login: string = carol) => createApiClient(berth, login)
const of = (reference: string) => ({ path: { name, reference } })
const headers = { authorization: `Basic ${basicOf('carol', 'password of carol')}` }
const pull = async (path: string) => {
  const reply = await get(`${berth.url}/v2/${name}/${path}`, { headers })
  assert.equal(reply.status, 200, path)
}
const pullAll = async (reference: string, image: Image) => {
  await pull(`manifests/${reference}`)
  for (const { digest } of image.blobs) await pull(`blobs/${digest}`)
}
const ended = async (digest: string) => {
  await eventually('the prefetch has ended', async () => {
    return (await client().ask('prefetchState', of(digest))).state !== 'running'
  })
  return client().ask('prefetchState', of(digest))
}
const prefetch = async (reference: string, query = {}) => {
  const { digest } = await client().ask('prefetch', { ...of(reference), query })
  return ended(digest)
}
const storedOf = async (digest: string) => {
  const details = await client().ask('details', { path: { name, digest } })
  return details.blobs.map(({ stored }) => stored)
}

test('an image is prefetched with all platforms, once, and pulls are hits then', async () => {
  const done = await prefetch('v1')
  assert.deepEqual([done.state, done.problem, done.reference], ['done', undefined, 'v1'])
  assert.deepEqual(done.stored, done.total)
  assert.equal(done.total.blobs, 5, 'two configs, and three layers of which one is shared')
  const before = upstream.requests.length
  for (const image of [amd, arm]) await pullAll(image.digest, image)
  assert.equal(upstream.requests.length, before)
  assert.equal(upstream.count(`GET /v2/team/app/blobs/${shared.digest}`), 1)
  const { prefetches } = await client().ask('overview')
  assert.deepEqual(
    prefetches.map(({ digest, state }) => ({ digest, state })),
    [{ digest: multi.digest, state: 'done' }],
  )
})

test('one platform of an index is prefetched, and one that it lacks is an error that names the others', async () => {
  assert.equal((await prefetch('v1', { platform: 'linux/arm64' })).state, 'done')
  assert.deepEqual(await storedOf(arm.digest), [true, true, true])
  const { children } = await client().ask('details', { path: { name, digest: multi.digest } })
  assert.deepEqual(children, [
    { digest: amd.digest, stored: false },
    { digest: arm.digest, stored: true },
  ])
  const failed = await prefetch('v1', { platform: 'linux/s390x' })
  assert.equal(failed.state, 'failed')
  assert.match(failed.problem ?? '', /linux\/s390x; it has linux\/amd64, linux\/arm64/)
})

test('a prefetch is joined, shows how far it is, and is canceled with its downloads', async () => {
  const large = makeImage({ layers: [randomBlob(mebibyte)] })
  upstream.put('team/app', 'large', large)
  const layer = large.blobs[1]
  assert.ok(layer)
  upstream.on(`blobs/${layer.digest}`, async ({ head, write }) => {
    head(200, { 'content-length': String(layer.bytes.length) })
    await write(layer.bytes.subarray(0, 100_000))
  })
  const { digest } = await client().ask('prefetch', of('large'))
  await eventually('the half arrives', async () => {
    const { stored } = await client().ask('prefetchState', of(digest))
    return stored.bytes > 100_000
  })
  assert.equal((await client().ask('prefetch', of('large'))).digest, digest)
  const { downloads, prefetches } = await client().ask('overview')
  assert.deepEqual(
    downloads.map((each) => each.digest),
    [layer.digest],
  )
  assert.equal(prefetches[0]?.state, 'running')
  assert.match(
    (await client().ask('evict', { ...of(digest), query: { dryRun: '' } })).blocked ?? '',
    /being prefetched/,
  )
  await client().ask('cancelPrefetch', of(digest))
  assert.equal((await ended(digest)).state, 'canceled')
  await eventually('nothing is downloaded any more', async () => {
    return (await client().ask('overview')).downloads.length === 0
  })
  assert.equal((await client().fail('cancelPrefetch', of(digest))).status, 404)
  upstream.behave()
  await eventually('it can be prefetched again', async () => {
    return (await prefetch('large')).state === 'done'
  })
})

test('what the upstream lacks, and what is larger than the cache, is an error that says so', async () => {
  assert.equal((await client().fail('prefetch', of('none'))).status, 404)
  const [, layer] = amd.blobs
  upstream.on(`blobs/${layer?.digest}`, ({ reply }) =>
    reply(404, {}, '{"errors":[{"code":"BLOB_UNKNOWN"}]}'),
  )
  const failed = await prefetch(amd.digest)
  assert.equal(failed.state, 'failed')
  assert.match(failed.problem ?? '', /does not have sha256/)
  const huge = makeImage({ layers: [randomBlob(5 * mebibyte)] })
  upstream.put('team/app', 'huge', huge)
  assert.match((await prefetch('huge')).problem ?? '', /missing, and the cache has room for/)
  assert.equal(upstream.count(huge.blobs[1]?.digest ?? ''), 0)
})

test('a pinned image outlives a full cache and a restart; at most half of the cache is pinned', async () => {
  assert.match((await client().fail('pin', of('v2'))).detail, /not in the cache/)
  await pullAll('v2', other)
  const pin = await client().ask('pin', of('v2'))
  assert.deepEqual([pin.digest, pin.stored], [other.digest, pin.size])
  const fill = async () => {
    for (let at = 0; at < 8; at += 1) {
      const image = makeImage({ layers: [randomBlob(mebibyte)] })
      upstream.put('team/app', `fill${at}`, image)
      await pullAll(`fill${at}`, image)
    }
  }
  await fill()
  assert.ok((await berth.metric('berth_cache_evictions_total')) > 0)
  assert.deepEqual(await storedOf(other.digest), [true, true, true])
  const tags = await client().ask('tags', { path: { name }, query: { filter: 'v2' } })
  assert.equal(tags.tags[0]?.pinned, true)

  await berth.restart()
  await fill()
  assert.deepEqual(await storedOf(other.digest), [true, true, true])
  const { pins, bytes, limit } = await client().ask('pins')
  assert.deepEqual(
    pins.map((each) => each.digest),
    [other.digest],
  )
  assert.equal(bytes, await berth.metric('berth_cache_pinned_bytes'))
  assert.equal(limit, 2 * mebibyte)
  const blocked = await client().ask('evict', of('v2'))
  assert.deepEqual([blocked.evicted, blocked.blocked], [false, 'it is pinned: unpin it first'])

  const large = makeImage({ layers: [randomBlob(2 * mebibyte)] })
  upstream.put('team/app', 'large', large)
  await pullAll('large', large)
  const refused = await client().fail('pin', of('large'))
  assert.equal(refused.status, 409)
  assert.match(refused.detail, /half of the cache; unpin another image/)

  const lifetime = async () => {
    const { steps } = await client().ask('why', { query: { image: `${name}:v2` } })
    return steps.find(({ step }) => step === 'lifetime')?.message ?? ''
  }
  assert.match(await lifetime(), /^pinned/)
  assert.equal((await client().ask('unpin', of('v2'))).changed, true)
  assert.match(await lifetime(), /evicted when the cache needs room/)
  assert.equal((await client().ask('unpin', of('v2'))).changed, false)
  await fill()
  // All images have the same config.
  assert.deepEqual((await storedOf(other.digest)).slice(1), [false, false])
})

test('an evicted image frees what no other image in the cache has, and can be pulled again', async () => {
  await pullAll('v2', other)
  await pull('manifests/v1')
  await pullAll(amd.digest, amd)
  const preview = await client().ask('evict', { ...of('v1'), query: { dryRun: '' } })
  assert.ok(!preview.evicted && preview.frees > 70_000 && preview.frees < 200_000)
  assert.ok(preview.stays > 300_000, 'the layer that v2 has, too')
  assert.deepEqual(await storedOf(amd.digest), [true, true, true])
  const before = await berth.metric('berth_cache_size_bytes')
  const { evicted, frees } = await client().ask('evict', of('v1'))
  assert.deepEqual([evicted, frees], [true, preview.frees])
  await eventually('the disk has the bytes', async () => {
    return (await berth.metric('berth_cache_size_bytes')) <= before - frees
  })
  // The config is that of v2, too.
  assert.deepEqual(await storedOf(amd.digest), [true, true, false])
  assert.equal((await client().ask('evict', of('v2'))).evicted, true)
  for (const [reference, image] of [
    ['v2', other],
    [amd.digest, amd],
  ] as const)
    await pullAll(reference, image)
})

test('users who may only pull change nothing in the cache, and hosted images are not in it', async () => {
  await pullAll('v2', other)
  for (const operation of ['prefetch', 'cancelPrefetch', 'pin', 'unpin', 'evict'] as const)
    assert.equal((await client(alice).fail(operation, of('v2'))).status, 403, operation)
  assert.equal((await client(alice).ask('tags', { path: { name } })).may.cache, false)
  assert.equal((await client().ask('tags', { path: { name } })).may.cache, true)
  const hosted = { path: { name: 'local/app', reference: blobOf(Buffer.alloc(0)).digest } }
  for (const operation of ['prefetch', 'pin', 'evict'] as const) {
    const { status, detail } = await client().fail(operation, hosted)
    assert.equal(status, 405, operation)
    assert.match(detail, /stored here, not cached/)
  }
})
