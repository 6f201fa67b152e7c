import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { isTag, parseRepositoryName } from '../../../src/oci/reference.ts'
import { createDiskCache } from '../../../src/store/cache/disk-cache.ts'
import { exists } from '../../../src/store/hosted/directories.ts'
import {
  blobDirectory,
  blobPath,
  layerLinkPath,
  recencyPath,
  repositoriesDirectory,
} from '../../../src/store/paths.ts'
import type { BlobCache } from '../../../src/store/store.ts'
import { eventually } from '../../support/berth.ts'
import { openFiles, readAll } from '../../support/content.ts'
import { ownDirectory } from '../../support/directory.ts'
import { diskUseOf, flipBlob, placeBlob, temporaryFiles } from '../../support/disk.ts'
import { type Blob, blobOf, randomBlob } from '../../support/images.ts'
import { watchedTelemetry } from '../../support/telemetry.ts'
import { testBlobCache } from './blob-cache.conformance.ts'

const mebibyte = 1024 * 1024
const app = parseRepositoryName('docker.io/library/app')

type Options = Partial<Parameters<typeof createDiskCache>[0]>

/** A cache in a directory of the test's own. */
async function cacheOf(t: TestContext, options: Options = {}) {
  const root = options.root ?? (await ownDirectory(t))
  const watched = watchedTelemetry()
  const cache = await createDiskCache({
    root,
    maxSize: 64 * 1024 * 1024,
    minimumFree: 0,
    scrubRate: 0,
    scrubInterval: 86_400_000,
    telemetry: watched.telemetry,
    ...options,
  })
  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= cache.close()
    return closed
  }
  t.after(close)
  const scanned = () =>
    eventually('the directory is scanned', () =>
      watched.logs().some(({ msg }) => msg === 'cache scanned'),
    )
  return { ...watched, root, cache, close, scanned }
}

type Cached = Awaited<ReturnType<typeof cacheOf>>

/** What is counted is what is there, when nothing is under way. */
async function checkAccounting({ root, metric }: Cached): Promise<void> {
  // Files are closed in the background.
  await eventually('all files are closed', async () => (await openFiles(root)).length === 0)
  await eventually(
    'the metric is what du says',
    async () => (await metric('berth_cache_size_bytes')) === (await diskUseOf(root)),
  )
  assert.deepEqual(await temporaryFiles(root), [])
}

async function isThere(cache: BlobCache, { digest }: Blob): Promise<boolean> {
  const content = await cache.open(digest)
  content?.close()
  return content !== undefined
}

testBlobCache('a disk cache', async (t, maxSize) => {
  const { root, cache, close } = await cacheOf(t, { maxSize })
  return {
    cache,
    reopen: async () => {
      await close()
      return (await cacheOf(t, { root, maxSize })).cache
    },
    damage: (digest, position) => flipBlob(root, digest, position),
    leftovers: () => temporaryFiles(root),
  }
})

/** A directory that an earlier version had for its cache. */
async function earlierCache(t: TestContext): Promise<string> {
  const root = await ownDirectory(t)
  await mkdir(join(root, 'tmp'))
  return root
}

test('a missing directory is created', async (t) => {
  const root = join(await ownDirectory(t), 'a', 'b')
  const { cache } = await cacheOf(t, { root })
  const blob = randomBlob(10)
  await cache.put(blob.digest, blob.bytes)
  assert.ok(await isThere(cache, blob))
})

test('an unusable directory is an error at the start', async (t) => {
  const root = join(await ownDirectory(t), 'file')
  await writeFile(root, '')
  await assert.rejects(cacheOf(t, { root }), { code: 'ENOTDIR' })
})

test('a directory that spans several file systems is an error at the start (C79)', async (t) => {
  const root = await ownDirectory(t)
  const elsewhere = await ownDirectory(t, '/dev/shm')
  assert.notEqual((await stat(root)).dev, (await stat(elsewhere)).dev)
  await symlink(elsewhere, join(root, 'tmp'))
  await assert.rejects(cacheOf(t, { root }), { code: 'EXDEV' })
  assert.deepEqual(await temporaryFiles(root), [])
})

test('blobs of an earlier run are counted without being read', async (t) => {
  const root = await earlierCache(t)
  const blobs = [randomBlob(1000), randomBlob(2000), blobOf(Buffer.alloc(0))]
  for (const blob of blobs) await placeBlob(root, blob)
  const cached = await cacheOf(t, { root })
  await cached.scanned()
  assert.equal(await cached.metric('berth_cache_blobs'), 3)
  await checkAccounting(cached)
})

test('other files are neither counted nor changed', async (t) => {
  const root = await earlierCache(t)
  const path = await placeBlob(root, randomBlob(1000))
  await writeFile(join(dirname(path), 'other'), 'x')
  await writeFile(join(dirname(dirname(path)), 'stray'), 'x')
  await mkdir(join(dirname(dirname(path)), 'no-digest'))
  const { scanned, metric } = await cacheOf(t, { root })
  await scanned()
  assert.equal(await metric('berth_cache_blobs'), 1)
  assert.equal(await readFile(join(dirname(path), 'other'), 'utf8'), 'x')
})

test('the order of use outlives a restart', async (t) => {
  const first = await cacheOf(t)
  const blobs = [randomBlob(mebibyte), randomBlob(mebibyte), randomBlob(mebibyte)] as const
  for (const { digest, bytes } of blobs) await first.cache.put(digest, bytes)
  assert.ok(await isThere(first.cache, blobs[0]))
  await first.close()
  const { cache, scanned } = await cacheOf(t, { root: first.root, maxSize: 2.5 * mebibyte })
  await scanned()
  assert.ok(!(await isThere(cache, blobs[1])))
  assert.ok(await isThere(cache, blobs[0]))
  assert.ok(await isThere(cache, blobs[2]))
})

for (const [what, text] of [
  ['missing', undefined],
  ['empty', ''],
  ['garbage', '\0\0\0 sha256:\n\nsha256:zz'],
  ['cut off', 'sha256:0123'],
] as const) {
  test(`without an order of use (${what}) the oldest by time are evicted first (C67)`, async (t) => {
    const root = await earlierCache(t)
    const oldest = randomBlob(mebibyte)
    for (const [at, blob] of [randomBlob(mebibyte), randomBlob(mebibyte), oldest].entries()) {
      const path = await placeBlob(root, blob)
      await utimes(path, 3000 - at, 3000 - at)
    }
    if (text !== undefined) await writeFile(recencyPath(root), text)
    const cached = await cacheOf(t, { root, maxSize: 2.5 * mebibyte })
    await cached.scanned()
    assert.equal(await cached.metric('berth_cache_blobs'), 2)
    assert.ok(!(await exists(blobPath(root, oldest.digest))))
    await checkAccounting(cached)
  })
}

test('a blob from the future is the newest, and evicted like others (C81)', async (t) => {
  const root = await earlierCache(t)
  const future = randomBlob(mebibyte)
  const path = await placeBlob(root, future)
  await utimes(path, 4e9, 4e9)
  await placeBlob(root, randomBlob(mebibyte))
  const cached = await cacheOf(t, { root, maxSize: 1.5 * mebibyte })
  await cached.scanned()
  assert.ok(await exists(path))
  const blob = randomBlob(1.4 * mebibyte)
  await cached.cache.put(blob.digest, blob.bytes)
  assert.ok(!(await exists(path)))
  await checkAccounting(cached)
})

test('a corrupt blob is counted, reported, and removed at once (C57)', async (t) => {
  const cached = await cacheOf(t)
  const { root, cache, metric, logs } = cached
  const blob = randomBlob(1000)
  await cache.put(blob.digest, blob.bytes)
  await flipBlob(root, blob.digest, 0)
  assert.ok(!(await isThere(cache, blob)))
  assert.equal(await metric('berth_cache_corruptions_total'), 1)
  assert.ok(logs().some(({ digest, level }) => digest === blob.digest && level === 'error'))
  await checkAccounting(cached)
})

test('a corrupt blob that cannot be removed is still counted', async (t) => {
  const { root, cache, metric } = await cacheOf(t)
  const blob = randomBlob(1000)
  await cache.put(blob.digest, blob.bytes)
  await flipBlob(root, blob.digest, 0)
  await replaceTemporary(root)
  assert.equal(await cache.read(blob.digest, 2000), undefined)
  assert.equal(await metric('berth_cache_blobs'), 1)
  assert.equal(await metric('berth_cache_storage_failures_total'), 1)
})

test('writes are paused after a disk failure, and this is reported (C63)', async (t) => {
  const { root, cache, metric } = await cacheOf(t)
  const blob = randomBlob(1000)
  await replaceTemporary(root)
  assert.equal(await cache.create(blob.digest, 1000), undefined)
  assert.match(cache.problem() ?? '', /ENOTDIR|EEXIST/)
  assert.equal(await cache.create(blob.digest, 1000), undefined)
  await cache.put(blob.digest, blob.bytes)
  assert.equal(await metric('berth_cache_storage_failures_total'), 1)
  assert.equal(await metric('berth_cache_blobs'), 0)
})

test('a blob that cannot be committed is still read, and leaves no file (C62)', async (t) => {
  const cached = await cacheOf(t)
  const { root, cache, metric } = cached
  const blob = randomBlob(300_000)
  await mkdir(dirname(blobDirectory(root, blob.digest)), { recursive: true })
  await writeFile(blobDirectory(root, blob.digest), 'in the way')
  const writer = await cache.create(blob.digest, 300_000)
  const reader = writer?.read()
  await writer?.write([blob.bytes])
  await writer?.commit()
  assert.ok(reader)
  assert.ok((await readAll(reader)).equals(blob.bytes))
  assert.equal(await metric('berth_cache_storage_failures_total'), 1)
  await rm(blobDirectory(root, blob.digest))
  await checkAccounting(cached)
})

test('a file that was written elsewhere becomes a blob, or stays where it is if there is no room', async (t) => {
  const cached = await cacheOf(t, { maxSize: 2 * mebibyte })
  const directory = await ownDirectory(t)
  for (const [size, hasRoom] of [
    [mebibyte, true],
    [3 * mebibyte, false],
  ] as const) {
    const blob = randomBlob(size)
    const path = join(directory, String(size))
    await writeFile(path, blob.bytes)
    await cached.cache.adopt(blob.digest, { path, size })
    assert.equal(await isThere(cached.cache, blob), hasRoom)
    assert.equal(await exists(path), !hasRoom)
    await checkAccounting(cached)
  }
})

test('links of an earlier version, a file and directories each, are removed', async (t) => {
  const root = await earlierCache(t)
  const { digest } = randomBlob(10)
  const name = parseRepositoryName('host_0123456789ab/p/r')
  const link = layerLinkPath(repositoriesDirectory(root), name, digest)
  await mkdir(dirname(link), { recursive: true })
  await writeFile(link, digest)
  const cached = await cacheOf(t, { root })
  await cached.scanned()
  assert.ok(!(await exists(repositoriesDirectory(root))))
  await checkAccounting(cached)
})

test('many small links and blobs stay within the limit, as du counts (44, C207)', async (t) => {
  const limit = 3 * mebibyte
  const cached = await cacheOf(t, { maxSize: limit })
  const { root, cache } = cached
  const links = cache.links('one')
  const name = parseRepositoryName('team/app')
  for (let at = 0; at < 1000; at += 1) {
    const blob = randomBlob(500)
    await cache.put(blob.digest, blob.bytes)
    await links.addManifest(name, blob.digest)
    const tag = `v${at}`
    assert.ok(isTag(tag))
    await links.setTag(name, tag, blob.digest)
    if (at % 200 === 199) assert.ok((await diskUseOf(root)) <= limit)
  }
  await checkAccounting(cached)
  assert.ok((await diskUseOf(root)) > limit / 2)
})

test('writing the order of use leaves no temporary file', async (t) => {
  const { root, cache, close } = await cacheOf(t)
  const blob = randomBlob(10)
  await cache.put(blob.digest, blob.bytes)
  await close()
  assert.deepEqual((await readdir(root)).sort(), [
    'CACHEDIR.TAG',
    'docker',
    'links',
    'recency',
    'tmp',
  ])
  assert.equal(await readFile(recencyPath(root), 'utf8'), `${blob.digest}\n`)
})

test('concurrent pulls through a small cache keep its disk use accounted exactly (C75)', async (t) => {
  const limit = 400_000
  const cached = await cacheOf(t, { maxSize: limit })
  const { cache, metric } = cached
  const blobs = Array.from({ length: 40 }, (_, at) => randomBlob((at % 8) * 12_000))
  let seed = 1
  const random = (below: number) => {
    seed = (seed * 48271) % 2147483647
    return seed % below
  }
  const inFlight = 16
  const work = async () => {
    for (let turn = 0; turn < 80; turn += 1) {
      const blob = blobs[random(blobs.length)]
      assert.ok(blob)
      const content = await cache.open(blob.digest)
      if (content !== undefined) assert.ok((await readAll(content)).equals(blob.bytes))
      else if (random(4) > 0) await cache.put(blob.digest, blob.bytes)
      else await giveUp(cache, blob)
      const used = await metric('berth_cache_size_bytes')
      assert.ok(used <= limit + inFlight * 100_000, `${used} bytes`)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, work))
  assert.ok((await diskUseOf(cached.root)) <= limit)
  assert.ok((await metric('berth_cache_evictions_total')) > 50)
  assert.equal(await metric('berth_cache_storage_failures_total'), 0)
  assert.equal(await metric('berth_cache_corruptions_total'), 0)
  await checkAccounting(cached)
})

async function giveUp(cache: BlobCache, { digest, bytes }: Blob): Promise<void> {
  const writer = await cache.create(digest, bytes.length)
  // What was admitted may find no room: what others read meanwhile is not evicted.
  await writer?.write([bytes.subarray(0, bytes.length >> 1)]).catch(() => {})
  await writer?.abort(new Error('given up'))
}

/** A directory for unfinished files that is none. */
async function replaceTemporary(root: string): Promise<void> {
  await rm(join(root, 'tmp'), { recursive: true })
  await writeFile(join(root, 'tmp'), '')
}

test('pinned images that a lowered limit has no room beside are a problem, which names them, until one is unpinned', async (t) => {
  const image = randomBlob(2 * mebibyte)
  const { cache: before, root, close } = await cacheOf(t, { maxSize: 8 * mebibyte })
  await before.put(image.digest, image.bytes)
  const pin = {
    name: app,
    digest: image.digest,
    at: 0,
    parts: new Map([[image.digest, image.bytes.length]]),
  }
  await before.pins.add(pin)
  await close()

  const lowered = await cacheOf(t, { root, maxSize: 2.5 * mebibyte })
  const { cache, scanned, logs } = lowered
  await scanned()
  const other = randomBlob(mebibyte)
  assert.equal(await cache.create(other.digest, other.bytes.length), undefined)
  assert.match(
    cache.problem() ?? '',
    /^no room, .*: pinned images take 2\.0 MiB of storage\.cache\.maxSize \(2\.5 MiB\): unpin some, or raise it$/,
  )
  assert.equal(logs().filter(({ level }) => level === 'warn').length, 1)
  await cache.pins.remove(app, image.digest)
  await cache.put(other.digest, other.bytes)
  assert.equal(cache.problem(), undefined)
  assert.ok(cache.usage().bytes <= 2.5 * mebibyte)
})

test('a blob larger than the whole cache is no problem of the cache', async (t) => {
  const { cache } = await cacheOf(t, { maxSize: mebibyte })
  const { digest } = randomBlob(1)
  assert.equal(await cache.create(digest, 2 * mebibyte), undefined)
  assert.equal(cache.problem(), undefined)
})
