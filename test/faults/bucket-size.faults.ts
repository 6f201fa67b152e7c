import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { callControl } from '../../src/control/control.ts'
import type { ObjectStore } from '../../src/store/store.ts'
import { startS3 } from '../support/bucket-servers.ts'
import { type Child, peakMemory, startChild } from '../support/child.ts'
import { compileCache } from '../support/compile-cache.ts'
import { startFaultyProxy } from '../support/faulty-proxy.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import { createPushClient } from '../support/push-client.ts'
import { until } from '../support/until.ts'
import { volumeFiles, volumePath } from '../support/volume.ts'

/** A larger bucket: BUCKET_BLOBS=100000. */
const blobs = Number(process.env['BUCKET_BLOBS'] ?? 600)
const blobsPerImage = 50
const repositories = 5
/** A tenth of the blobs belongs to no image. */
const images = Math.floor((0.9 * blobs) / blobsPerImage)
const unreferenced = blobs - images * blobsPerImage
/** Milliseconds. */
const timeout = 600_000
const access = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]
const clockAhead = new URL('../support/clock-ahead.ts', import.meta.url).pathname

const kinds = {
  list: /^GET .*list-type=2/,
  get: /^GET (?!.*(list-type=2| bytes=0-0$))/,
  head: /^(HEAD |GET .* bytes=0-0$)/,
  put: /^PUT /,
  delete: /^POST .*\?delete/,
}

/** Of one run of the trash. */
const listOfRun = /list-type=2.*prefix=_trash%2F20/

/** Puts images and blobs into a bucket; returns one of the images. */
async function fill(objects: ObjectStore): Promise<Image> {
  const layers = () => Array.from({ length: blobsPerImage - 2 }, () => randomBlob(16))
  const all = Array.from({ length: images }, (_, at) =>
    makeImage({ layers: layers(), architecture: `a${at}` }),
  )
  const files = [
    ...all.flatMap((image, at) => volumeFiles(`team/app${at % repositories}`, `v${at}`, image)),
    ...Array.from({ length: unreferenced }, () => {
      const { digest, bytes } = randomBlob(16)
      return [volumePath('', digest), bytes] as const
    }),
  ].values()
  const lane = async () => {
    for (const [key, bytes] of files) await objects.put(key, bytes)
  }
  await Promise.all(Array.from({ length: 16 }, lane))
  const [first] = all
  assert.ok(first)
  return first
}

async function keysBelow(objects: ObjectStore, prefix: string): Promise<number> {
  let count = 0
  for await (const page of objects.list(prefix)) count += page.objects.length
  return count
}

/** Returns how many blobs the collection removed. */
async function collect({ directory }: Child): Promise<number> {
  const root = join(directory, 'data', 'hosted')
  let removed = 0
  for await (const line of callControl({ root, action: 'collect', body: {} }))
    removed = Number(Object(line).data.removed)
  return removed
}

test('two replicas whose clocks differ by a minute collect a bucket at once: they list it, and have few requests for each blob that they remove', {
  timeout,
}, async (t) => {
  const bucket = await startS3()
  t.after(bucket.close)
  const objects = await bucket.open()
  t.after(objects.close)
  const image = await fill(objects)
  const proxy = await startFaultyProxy(bucket.url)
  t.after(proxy.close)
  const start = async (environment: Readonly<Record<string, string>> = {}) =>
    startReplica(t, bucket.configAt(proxy.url), { ...bucket.keys, ...environment })
  const replicas = [await start(), await start({ NODE_OPTIONS: `--import=${clockAhead}` })]

  const count = async <Result>(what: string, work: () => Promise<Result>) => {
    const [before, begin] = [proxy.requests.length, performance.now()]
    const result = await work()
    const requests = proxy.requests.slice(before)
    const counts = Object.entries(kinds).map(
      ([kind, pattern]) => `${kind} ${requests.filter((line) => pattern.test(line)).length}`,
    )
    const seconds = ((performance.now() - begin) / 1000).toFixed(1)
    const memory = await Promise.all(replicas.map(({ pid }) => peakMemory(pid)))
    t.diagnostic(`${what}: ${counts.join(', ')}; ${seconds} s; at most ${memory} MiB`)
    return { result, requests: requests.length }
  }

  const [first] = replicas
  assert.ok(first)
  const idle = (await count('nothing to remove yet', () => collect(first))).requests
  // Listings of blobs, links, marks and the trash page by page, four of each repository, and its tags.
  const pages = 4 + Math.ceil((4 * blobs) / 1000)
  assert.ok(idle <= 5 * repositories + images + pages, `${idle} requests`)

  let [removed, collections] = [0, 0]
  const { requests } = await count('two replicas remove all', () =>
    until(
      'what no image references is removed, and deleted',
      async () => {
        for (const each of await Promise.all(replicas.map(collect))) {
          collections += 1
          removed += each
        }
        assert.equal(removed, unreferenced)
        assert.equal(await keysBelow(objects, '_trash/'), 0)
      },
      timeout / 1000,
    ),
  )
  // If both remove a blob at once: five requests of each, and two of the one that is too late to delete it.
  const most = collections * (idle + 8) + 12 * unreferenced
  assert.ok(requests <= most, `${requests} requests of at most ${most}`)
  assert.equal(await keysBelow(objects, 'docker/registry/v2/blobs/'), images * blobsPerImage)
  const client = createPushClient(first.url)
  const tags = Array.from({ length: 20 }, (_, at) => `old${at}`)
  for (const tag of tags)
    assert.equal((await client.putManifest('team/app0', tag, image)).status, 201)
  for (const { status } of await Promise.all(
    tags.map((tag) => client.send('DELETE', `team/app0/manifests/${tag}`)),
  ))
    assert.equal(status, 202)
  const before = proxy.count(listOfRun)
  await until('the trash is empty', async () => {
    await collect(first)
    assert.equal(await keysBelow(objects, '_trash/'), 0)
  })
  const listings = proxy.count(listOfRun) - before
  t.diagnostic(`${listings} listings of the runs of 20 deletions`)
  assert.ok(listings > 0 && listings < 20, `${listings} listings`)

  const pushed = makeImage({ layers: image.blobs.slice(1, 5) })
  await client.push('team/app0', pushed, 'new')
  for (const replica of replicas) {
    await pullImage(replica, 'team/app0', image, 'v0')
    await pullImage(replica, 'team/app0', pushed, 'new')
  }
})

async function startReplica(
  t: TestContext,
  bucket: object,
  environment: Readonly<Record<string, string>>,
): Promise<Child> {
  const berth = await startChild({
    config: {
      upstreams: [],
      auth: { access },
      storage: { hosted: { bucket } },
      collection: { enabled: false, grace: '1s', trash: '1s' },
    },
    environment: { ...compileCache, ...environment },
  })
  t.after(async () => {
    await berth.kill('SIGKILL')
    await rm(berth.directory, { recursive: true, force: true })
  })
  await until('the index is complete', async () =>
    assert.equal(await berth.metric('berth_index_complete'), 1),
  )
  return berth
}
