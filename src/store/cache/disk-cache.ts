import { lstat, rename, rm, rmdir, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { createBlobReader } from '../blob-reader.ts'
import type { BlobCache } from '../blob-store.ts'
import { diskUse, errnoOf, isMissing, makeDirectory } from '../files.ts'
import type { LinkStore } from '../link-store.ts'
import { acquireLock, type Lock } from '../lock.ts'
import {
  blobDirectory,
  blobPath,
  blobsDirectory,
  checksumsPath,
  frameDirectories,
  linksPath,
  recencyPath,
  repositoriesDirectory,
} from '../paths.ts'
import { createTemporary, type Temporary } from '../temporary.ts'
import { createBlobWriter } from './blob-writer.ts'
import { createBudget } from './budget.ts'
import { openCachedLinks } from './cached-links.ts'
import { assertCache, markCache, markPath } from './mark.ts'
import { createOverhead } from './overhead.ts'
import { byRecency, writeRecency } from './recency.ts'
import { type Found, scanBlobs } from './scan.ts'
import { scrub } from './scrub.ts'

/** After a failed write, nothing is written for this time, in milliseconds. */
const pauseAfterFailure = 5000
/** Interval between checks of the free disk space, in milliseconds. */
const tendEvery = 15_000
/** Interval between writes of the order of use, in such checks. */
const recencyEvery = 4
/** Block size of most file systems, in bytes. */
const blockSize = 4096
/** Bytes to evict at once when the disk is full, and at most this part of the limit. */
const relief = 256 * 1024 * 1024
const reliefPart = 1 / 10
const fullCodes = ['ENOSPC', 'EDQUOT']

type DiskCacheOptions = {
  readonly root: string
  /** Bytes. */
  readonly maxSize: number
  /** Bytes that stay free on the file system. */
  readonly minimumFree: number
  /**
   * Rate at which unread blobs are verified in the background, in bytes per second; 0 disables it.
   */
  readonly scrubRate: number
  /** Milliseconds from the start of one such verification of all blobs to the next. */
  readonly scrubInterval: number
  readonly telemetry: Telemetry
}

/** What a pull-through cache stores: blobs, and the links of its upstreams. */
export interface DiskCache extends BlobCache {
  /** Links of one upstream for one identity: `scope` separates them from the links of others. */
  links(scope: string): LinkStore
}

/**
 * A pull-through cache on its own disk.
 * @throws a system error when the directory cannot be created or written, an Error when another
 * process uses it or when it is not a cache. A full disk is not an error.
 */
export async function createDiskCache(options: DiskCacheOptions): Promise<DiskCache> {
  const { root, maxSize, minimumFree, scrubRate, scrubInterval, telemetry } = options
  const { log, metrics } = telemetry
  const temporary = createTemporary(root)
  const stopping = new AbortController()
  let failure: { readonly error: unknown; readonly until: number } | undefined

  await assertCache(root)
  const lock = await claim(root)
  if (lock === undefined)
    log.warn(
      { directory: root },
      'cache is used without a lock: its file system has none, or no room for one',
    )
  const full = await probe(root, temporary).catch(async (error: unknown) => {
    if (fullCodes.includes(errnoOf(error))) return error
    await lock?.release()
    throw error
  })
  metrics.cacheLimit.set(maxSize)

  const removeFile = async (digest: Digest): Promise<void> => {
    await unlink(checksumsPath(root, digest)).catch(ignoreMissing)
    await unlink(blobPath(root, digest)).catch(ignoreMissing)
    await rmdir(blobDirectory(root, digest)).catch(() => {})
  }

  // Disk use of a directory with one entry, such as the directory of a blob.
  const directorySize = await lstat(dirname(dirname(blobsDirectory(root)))).then(
    diskUse,
    () => blockSize,
  )

  /** A single failure must not end a task that has to run as long as the process. */
  const attempt = async (work: Promise<void>): Promise<void> => {
    try {
      await work
    } catch (error) {
      if (stopping.signal.aborted) throw error
      log.error({ err: error }, 'background work on the cache failed')
    }
  }

  const running = new Set<Promise<void>>()
  const background = (work: Promise<void>): void => {
    const registered = attempt(work).catch(() => {})
    running.add(registered)
    void registered.finally(() => running.delete(registered))
  }

  /** Links and measured blobs may use more than the room that was made for them. */
  const trim = oneAtATime(() => budget.relieve())
  const trimExcess = (): void => {
    if (budget.usage().bytes > maxSize) background(trim())
  }

  const budget = createBudget({
    directory: root,
    limit: maxSize,
    minimumFree,
    evict: async (digest) => {
      try {
        await removeFile(digest)
        metrics.cacheEvictions.inc()
      } catch (err) {
        metrics.cacheFailures.inc()
        log.error({ digest, err }, 'blob could not be evicted')
        throw err
      }
    },
  })

  const overhead = createOverhead((bytes) => {
    budget.setOverhead(bytes)
    trimExcess()
  })
  const links = await openCachedLinks({
    root,
    temporary,
    maxSize,
    onWritten: () => background(overhead.measure(linksPath(root))),
  })
  const measureFrame = () =>
    overhead.measure(
      ...frameDirectories(root),
      temporary.directory,
      recencyPath(root),
      linksPath(root),
      markPath(root),
    )
  await measureFrame()

  /**
   * The path may also be a directory or a FIFO. It is renamed away in one step before it is
   * deleted.
   */
  const discard = async (digest: Digest, reason: string): Promise<void> => {
    metrics.cacheCorruptions.inc()
    log.error({ digest, reason }, 'cached blob is corrupt and was removed')
    try {
      const away = await temporary.path()
      await rename(blobPath(root, digest), away).catch(ignoreMissing)
      budget.remove(digest)
      await rm(checksumsPath(root, digest), { force: true })
      await rmdir(blobDirectory(root, digest)).catch(() => {})
      await rm(away, { recursive: true, force: true })
    } catch (error) {
      storageFailed(error, 'remove a corrupt blob')
    }
  }

  const storageFailed = (error: unknown, attempt: string): void => {
    metrics.cacheFailures.inc()
    failure = { error, until: performance.now() + pauseAfterFailure }
    log.error(
      { err: error, attempt, directory: root },
      'cache storage failed; bytes stream through uncached for a moment',
    )
    if (fullCodes.includes(errnoOf(error))) background(relieve())
  }

  /** The budget has room, but the disk is full: the disk is right. */
  const relieve = oneAtATime(() => budget.relieve(Math.min(relief, maxSize * reliefPart)))

  /** Estimated disk use of a blob that the scan has not measured yet. */
  const estimate = (size: number) => Math.ceil(size / blockSize) * blockSize + directorySize

  const reader = createBlobReader({
    root,
    trustsSizes: false,
    onRot: discard,
    onUse: (digest, size) => {
      if (!budget.use(digest)) budget.touch(digest, estimate(size))
    },
    pin: budget.pin,
  })

  const scan = async (): Promise<void> => {
    const found: Found[] = []
    for await (const batch of scanBlobs(root)) {
      if (stopping.signal.aborted) return
      found.push(...batch.found)
      await overhead.measure(batch.directory)
    }
    const ordered = await byRecency(root, found)
    budget.adopt(ordered.map(({ digest, size }) => [digest, size + directorySize]))
    await budget.relieve()
    log.info({ blobs: found.length, bytes: budget.usage().bytes }, 'cache scanned')
  }

  metrics.onScrape(() => {
    const { bytes, blobs } = budget.usage()
    metrics.cacheSize.set(bytes)
    metrics.cacheBlobs.set(blobs)
  })

  const pause = (delay: number) => sleep(delay, undefined, { signal: stopping.signal, ref: false })

  const tend = async (): Promise<void> => {
    await attempt(temporary.clean(lock !== undefined))
    await attempt(removeOldLinks(root))
    await scan()
    // Another program has filled the disk: stored blobs are still served, and some of them are
    // evicted.
    if (full !== undefined) storageFailed(full, 'start')
    for (let looks = 1; ; looks += 1) {
      await pause(tendEvery)
      await attempt(markCache(root))
      await measureFrame()
      await budget.relieve()
      if (looks % recencyEvery === 0) await writeOrder()
    }
  }

  const writeOrder = async (): Promise<void> => {
    try {
      await writeRecency(root, temporary, budget.digests())
      await overhead.measure(recencyPath(root))
    } catch (error) {
      storageFailed(error, 'write the order of use')
    }
  }

  const scrubAll = (): Promise<void> =>
    scrub({
      digests: budget.digests,
      verify: (digest, pace) => attempt(reader.verify(digest, pace)),
      isFilling: budget.isFilling,
      rate: scrubRate,
      interval: scrubInterval,
      pause,
      now: () => performance.now(),
    })

  background(tend())
  if (scrubRate > 0) background(scrubAll())

  /**
   * A blob that cannot be read is a miss: it is fetched from the upstream. Running out of file
   * descriptors is not a read failure of the blob.
   */
  const readable = async <Result>(
    digest: Digest,
    reading: Promise<Result | undefined>,
  ): Promise<Result | undefined> => {
    try {
      return await reading
    } catch (error) {
      if (['EMFILE', 'ENFILE'].includes(errnoOf(error))) {
        throw new RegistryError('UNAVAILABLE', {
          message: 'too many open files; try again',
          retryAfter: 1,
          cause: error,
        })
      }
      // The next fill replaces this file; and one unreadable file does not mean that the disk
      // fails.
      metrics.cacheFailures.inc()
      log.error({ digest, err: error }, 'a blob cannot be read, and is fetched instead')
      return undefined
    }
  }

  const create: BlobCache['create'] = async (digest, size) => {
    const prefix = dirname(blobDirectory(root, digest))
    const measure = () => background(overhead.measure(prefix, dirname(prefix), temporary.directory))
    if (failure !== undefined && performance.now() < failure.until) return undefined
    try {
      const writer = await createBlobWriter({
        root,
        digest,
        size,
        temporary,
        budget,
        directorySize,
        onCommit: (stamp) => {
          reader.trust(digest, stamp)
          measure()
        },
        onFailure: (error) => {
          storageFailed(error, `store ${digest}`)
          measure()
        },
        onDoubt: () => reader.doubt(digest),
      })
      failure = undefined
      return writer
    } catch (error) {
      storageFailed(error, `create a file for ${digest}`)
      return undefined
    }
  }

  return {
    open: (digest, how) => readable(digest, reader.open(digest, how)),
    stat: (digest) => readable(digest, reader.stat(digest)),
    read: (digest, limit) => readable(digest, reader.read(digest, limit)),

    create,
    use: budget.use,
    links: links.of,

    put: async (digest, bytes) => {
      const writer = await create(digest, bytes.length)
      if (writer === undefined) return
      try {
        await writer.write([bytes])
        await writer.commit()
      } catch (error) {
        await writer.abort(error)
      }
    },

    trouble: () =>
      failure === undefined
        ? undefined
        : `the cache directory failed: ${failure.error instanceof Error ? failure.error.message : ''}`,

    close: async () => {
      stopping.abort()
      await Promise.all(running)
      await reader.close()
      await writeOrder()
      await links.close().catch((error: unknown) => storageFailed(error, 'write the links'))
      await temporary.close()
      await measureFrame()
      await lock?.release()
    },
  }
}

/**
 * Removes links of a cache of an earlier version: one file and its directories each. They are
 * requested again.
 */
function removeOldLinks(root: string): Promise<void> {
  return rm(repositoriesDirectory(root), { recursive: true, force: true })
}

/** A call while the work is in flight joins it. */
function oneAtATime(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined
  return () => {
    running ??= work().finally(() => {
      running = undefined
    })
    return running
  }
}

async function claim(root: string): Promise<Lock | undefined> {
  try {
    await makeDirectory(root)
    return await acquireLock(root)
  } catch (error) {
    if (fullCodes.includes(errnoOf(error))) return undefined
    throw error
  }
}

/** Performs the operations of a fill once: a directory where they fail cannot be a cache. */
async function probe(root: string, temporary: Temporary): Promise<void> {
  await makeDirectory(blobsDirectory(root))
  const { path, handle } = await temporary.create()
  await handle.close()
  try {
    await rename(path, join(blobsDirectory(root), 'probe'))
  } finally {
    await rm(path, { force: true })
    await rm(join(blobsDirectory(root), 'probe'), { force: true })
  }
  await markCache(root)
}

function ignoreMissing(error: unknown): void {
  if (!isMissing(error)) throw error
}
