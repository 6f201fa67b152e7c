import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { isTag, parseRepositoryName } from '../../src/oci/reference.ts'
import { createDiskCache } from '../../src/store/disk-cache.ts'
import { createDiskLinks, exists } from '../../src/store/links.ts'
import {
  blobDirectory,
  blobPath,
  recencyPath,
  repositoriesDirectory,
  tagLinkPath,
} from '../../src/store/paths.ts'
import type { BlobCache } from '../../src/store/store.ts'
import { eventually } from '../support/berth.ts'
import { openFiles, readAll } from '../support/content.ts'
import { ownDirectory } from '../support/directory.ts'
import { flipBlob, placeBlob, temporaryFiles } from '../support/disk.ts'
import { type Blob, blobOf, randomBlob } from '../support/images.ts'
import { watchedTelemetry } from '../support/telemetry.ts'
import { testBlobCache } from './blob-cache.conformance.ts'

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

/** Bytes of all blobs that are on the disk. */
async function bytesOnDisk(root: string): Promise<number> {
  const directory = join(root, 'docker', 'registry', 'v2', 'blobs')
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const sizes = await Promise.all(
    files.map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).size),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** What is counted is what is there, when nothing is under way. */
async function checkAccounting({ root, metric }: Cached): Promise<void> {
  // Files are closed in the background.
  await eventually('all files are closed', async () => (await openFiles(root)).length === 0)
  assert.equal(await metric('berth_cache_size_bytes'), await bytesOnDisk(root))
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

test('a directory that does not exist is made', async (t) => {
  const root = join(await ownDirectory(t), 'a', 'b')
  const { cache } = await cacheOf(t, { root })
  const blob = randomBlob(10)
  await cache.put(blob.digest, blob.bytes)
  assert.ok(await isThere(cache, blob))
})

test('a directory that cannot be used is told at the start', async (t) => {
  const root = join(await ownDirectory(t), 'file')
  await writeFile(root, '')
  await assert.rejects(cacheOf(t, { root }), { code: 'ENOTDIR' })
})

test('a directory whose parts lie on different file systems is told at the start (C79)', async (t) => {
  const root = await ownDirectory(t)
  const elsewhere = await ownDirectory(t, '/dev/shm')
  assert.notEqual((await stat(root)).dev, (await stat(elsewhere)).dev)
  await symlink(elsewhere, join(root, 'tmp'))
  await assert.rejects(cacheOf(t, { root }), { code: 'EXDEV' })
  assert.deepEqual(await temporaryFiles(root), [])
})

test('what an earlier run left is counted, without being read', async (t) => {
  const root = await ownDirectory(t)
  const blobs = [randomBlob(1000), randomBlob(2000), blobOf(Buffer.alloc(0))]
  for (const blob of blobs) await placeBlob(root, blob)
  const cached = await cacheOf(t, { root })
  await cached.scanned()
  assert.equal(await cached.metric('berth_cache_blobs'), 3)
  await checkAccounting(cached)
})

test('what is no blob is neither counted nor touched', async (t) => {
  const root = await ownDirectory(t)
  const path = await placeBlob(root, randomBlob(1000))
  await writeFile(join(dirname(path), 'other'), 'x')
  await writeFile(join(dirname(dirname(path)), 'stray'), 'x')
  await mkdir(join(dirname(dirname(path)), 'no-digest'))
  const { scanned, metric } = await cacheOf(t, { root })
  await scanned()
  assert.equal(await metric('berth_cache_size_bytes'), 1000)
  assert.equal(await readFile(join(dirname(path), 'other'), 'utf8'), 'x')
})

test('the order of use outlives a restart', async (t) => {
  const first = await cacheOf(t)
  const blobs = [randomBlob(1000), randomBlob(1000), randomBlob(1000)] as const
  for (const { digest, bytes } of blobs) await first.cache.put(digest, bytes)
  assert.ok(await isThere(first.cache, blobs[0]))
  await first.close()
  const { cache, scanned } = await cacheOf(t, { root: first.root, maxSize: 2500 })
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
  test(`without an order of use (${what}) the oldest by time go first (C67)`, async (t) => {
    const root = await ownDirectory(t)
    const oldest = randomBlob(1000)
    for (const [at, blob] of [randomBlob(1000), randomBlob(1000), oldest].entries()) {
      const path = await placeBlob(root, blob)
      await utimes(path, 3000 - at, 3000 - at)
    }
    if (text !== undefined) await writeFile(recencyPath(root), text)
    const cached = await cacheOf(t, { root, maxSize: 2500 })
    await cached.scanned()
    assert.equal(await cached.metric('berth_cache_blobs'), 2)
    assert.ok(!(await exists(blobPath(root, oldest.digest))))
    await checkAccounting(cached)
  })
}

test('a blob from the future is the newest, and evicted like others (C81)', async (t) => {
  const root = await ownDirectory(t)
  const future = randomBlob(1000)
  const path = await placeBlob(root, future)
  await utimes(path, 4e9, 4e9)
  await placeBlob(root, randomBlob(1000))
  const cached = await cacheOf(t, { root, maxSize: 1500 })
  await cached.scanned()
  assert.ok(await exists(path))
  const blob = randomBlob(1400)
  await cached.cache.put(blob.digest, blob.bytes)
  assert.ok(!(await exists(path)))
  await checkAccounting(cached)
})

test('rot is counted, told, and removed at once (C57)', async (t) => {
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

test('rot that cannot be removed is still counted as there', async (t) => {
  const { root, cache, metric } = await cacheOf(t)
  const blob = randomBlob(1000)
  await cache.put(blob.digest, blob.bytes)
  await flipBlob(root, blob.digest, 0)
  await replaceTemporary(root)
  assert.equal(await cache.read(blob.digest, 2000), undefined)
  assert.equal(await metric('berth_cache_size_bytes'), await bytesOnDisk(root))
  assert.equal(await metric('berth_cache_storage_failures_total'), 1)
})

test('a disk that fails is left alone for a moment, and says so (C63)', async (t) => {
  const { root, cache, metric } = await cacheOf(t)
  const blob = randomBlob(1000)
  await replaceTemporary(root)
  assert.equal(await cache.create(blob.digest, 1000), undefined)
  assert.match(cache.trouble() ?? '', /ENOTDIR|EEXIST/)
  assert.equal(await cache.create(blob.digest, 1000), undefined)
  await cache.put(blob.digest, blob.bytes)
  assert.equal(await metric('berth_cache_storage_failures_total'), 1)
  assert.equal(await metric('berth_cache_size_bytes'), 0)
})

test('a blob that cannot be put in its place is read all the same, and leaves nothing (C62)', async (t) => {
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

test('a damaged link does not end the tending of the cache (C60)', async (t) => {
  const root = await ownDirectory(t)
  const name = parseRepositoryName('p/r')
  const links = createDiskLinks({ root })
  const { digest } = randomBlob(10)
  await links.addBlob(name, digest)
  const tag = 'v1'
  assert.ok(isTag(tag))
  const path = tagLinkPath(repositoriesDirectory(root), name, tag)
  await mkdir(path, { recursive: true })
  const { logs } = await cacheOf(t, { root })
  await eventually(
    'what points to nothing is swept',
    async () => !(await links.hasBlob(name, digest)),
  )
  await eventually('damaged ones too', async () => !(await exists(path)))
  assert.deepEqual(
    logs().filter(({ level }) => level === 'error'),
    [],
  )
})

test('to close does not wait for a sweep of many links', async (t) => {
  const root = await ownDirectory(t)
  const links = createDiskLinks({ root })
  const name = parseRepositoryName('p/r')
  const digests = Array.from({ length: 3000 }, (_, at) => blobOf(Buffer.from(`${at}`)).digest)
  await Promise.all(digests.map((digest) => links.addBlob(name, digest)))
  const { close, scanned } = await cacheOf(t, { root })
  await scanned()
  await close()
  const left = await Promise.all(digests.map((digest) => links.hasBlob(name, digest)))
  assert.ok(left.some((isLeft) => isLeft))
})

test('the order of use leaves nothing beside it', async (t) => {
  const { root, cache, close } = await cacheOf(t)
  const blob = randomBlob(10)
  await cache.put(blob.digest, blob.bytes)
  await close()
  assert.deepEqual((await readdir(root)).sort(), ['docker', 'recency', 'tmp'])
  assert.equal(await readFile(recencyPath(root), 'utf8'), `${blob.digest}\n`)
})

test('whatever is pulled through a small cache at the same time, its books are right (C75)', async (t) => {
  const limit = 100_000
  const cached = await cacheOf(t, { maxSize: limit })
  const { cache, metric } = cached
  const blobs = Array.from({ length: 40 }, (_, at) => randomBlob((at % 8) * 4000))
  let seed = 1
  const random = (below: number) => {
    seed = (seed * 48271) % 2147483647
    return seed % below
  }
  const inFlight = 16
  const work = async () => {
    for (let turn = 0; turn < 150; turn += 1) {
      const blob = blobs[random(blobs.length)]
      assert.ok(blob)
      const content = await cache.open(blob.digest)
      if (content !== undefined) assert.ok((await readAll(content)).equals(blob.bytes))
      else if (random(4) > 0) await cache.put(blob.digest, blob.bytes)
      else await giveUp(cache, blob)
      const used = await metric('berth_cache_size_bytes')
      assert.ok(used <= limit + inFlight * 28_000, `${used} bytes`)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, work))
  assert.ok((await bytesOnDisk(cached.root)) <= limit)
  assert.ok((await metric('berth_cache_evictions_total')) > 100)
  assert.equal(await metric('berth_cache_storage_failures_total'), 0)
  assert.equal(await metric('berth_cache_corruptions_total'), 0)
  await checkAccounting(cached)
})

async function giveUp(cache: BlobCache, { digest, bytes }: Blob): Promise<void> {
  const writer = await cache.create(digest, bytes.length)
  await writer?.write([bytes.subarray(0, bytes.length >> 1)])
  await writer?.abort(new Error('given up'))
}

/** A directory for unfinished files that is none. */
async function replaceTemporary(root: string): Promise<void> {
  await rm(join(root, 'tmp'), { recursive: true })
  await writeFile(join(root, 'tmp'), '')
}
