import { lstat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Digest } from '../../oci/digest.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { createBlobReader } from '../blob-reader.ts'
import type { BlobCache } from '../blob-store.ts'
import { diskUse } from '../files.ts'
import { createHashTurns } from '../hash-turns.ts'
import type { CachedLinkStore } from '../link-store.ts'
import {
  blobDirectory,
  blobPath,
  blobsDirectory,
  frameDirectories,
  linksPath,
  pinsPath,
  recencyPath,
} from '../paths.ts'
import { createTemporary } from '../temporary.ts'
import { createBackground, oneAtATime } from './background.ts'
import { createBlobFiles } from './blob-files.ts'
import { createBudget } from './budget.ts'
import { createCacheWrites } from './cache-writes.ts'
import { openCachedLinks, removeOldLinks } from './cached-links.ts'
import { claimDirectory } from './claim.ts'
import { markCache, markPath } from './mark.ts'
import { createOverhead } from './overhead.ts'
import { openPins } from './pins.ts'
import { byRecency, writeRecency } from './recency.ts'
import { discardBlob, removeBlob } from './remove-blob.ts'
import { createRoom } from './room.ts'
import { type FoundBlob, scanBlobs } from './scan.ts'
import { scrub } from './scrub.ts'
import { createStorageFailures } from './storage-failures.ts'
import { createMissIfUnreadable } from './unreadable.ts'

/** Interval between checks of the free disk space, in milliseconds. */
const maintenanceInterval = 15_000
/** The order of use is written in one of so many of these checks. */
const checksPerRecencyWrite = 4
/** Block size of most file systems, in bytes. */
const blockSize = 4096
/** Bytes to evict at once when the disk is full, and at most this part of the limit. */
const diskFullEviction = 256 * 1024 * 1024
const diskFullPart = 1 / 10

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
  links(scope: string): CachedLinkStore
  /** Where the bytes of a stored blob are. They stay there while a content of it is open. */
  pathOf(digest: Digest): string
}

/**
 * A pull-through cache on its own disk. This function wires the cache together, which makes it
 * longer than others; the parts are in files of their own.
 * @throws a system error when the directory cannot be created or written, an Error when another
 * process uses it or when it is not a cache. A full disk is not an error.
 */
export async function createDiskCache(options: DiskCacheOptions): Promise<DiskCache> {
  const { root, maxSize, minimumFree, scrubRate, scrubInterval, telemetry } = options
  const { log, metrics } = telemetry
  const temporary = createTemporary(root)
  const { lock, full } = await claimDirectory({ root, temporary, telemetry })
  const background = createBackground({ log })
  metrics.cacheLimit.set(maxSize)

  /** Disk use of a directory with one entry, such as the directory of a blob. */
  const directorySize = await lstat(dirname(dirname(blobsDirectory(root)))).then(
    diskUse,
    () => blockSize,
  )

  const own = { root, temporary, maxSize }
  const pins = await openPins({
    ...own,
    onWritten: () => background.start(overhead.measure(pinsPath(root))),
  })
  const room = createRoom({ directory: root, limit: maxSize, minimumFree, pinned: pins.bytes, log })
  const budget = createBudget({
    directory: root,
    limit: maxSize,
    minimumFree,
    isPinned: pins.holds,
    onAdmitted: room.admitted,
    onRefused: room.refused,
    removeFromDisk: async (digest) => {
      try {
        await removeBlob(root, digest)
        metrics.cacheEvictions.inc()
      } catch (err) {
        metrics.cacheFailures.inc()
        log.error({ digest, err }, 'cannot evict a blob')
        throw err
      }
    },
  })

  /** Links and measured blobs may use more than the room that was made for them. */
  const trim = oneAtATime(() => budget.evict())
  /** The budget has room, but the disk is full: the disk is right. */
  const evictForFullDisk = oneAtATime(() =>
    budget.evict(Math.min(diskFullEviction, maxSize * diskFullPart)),
  )

  const failures = createStorageFailures({
    directory: root,
    telemetry,
    onFull: () => background.start(evictForFullDisk()),
  })

  const overhead = createOverhead((bytes) => {
    budget.setOverhead(bytes)
    if (budget.usage().bytes > maxSize) background.start(trim())
  })
  const links = await openCachedLinks({
    ...own,
    onWritten: () => background.start(overhead.measure(linksPath(root))),
  })
  const measureOwnFiles = () =>
    overhead.measure(
      ...frameDirectories(root),
      temporary.directory,
      recencyPath(root),
      linksPath(root),
      pinsPath(root),
      markPath(root),
    )
  await measureOwnFiles()

  const removeCorrupt = async (digest: Digest, reason: string): Promise<void> => {
    metrics.cacheCorruptions.inc()
    log.error({ digest, reason }, 'cached blob is corrupt and was removed')
    try {
      const away = await temporary.path()
      await discardBlob({ root, digest, away, onMoved: () => budget.remove(digest) })
    } catch (error) {
      failures.report(error, 'remove a corrupt blob')
    }
  }

  /** Estimated disk use of a blob that the scan has not measured yet. */
  const estimate = (size: number) => Math.ceil(size / blockSize) * blockSize + directorySize

  const reader = createBlobReader({
    root,
    trustsSizes: false,
    onCorrupt: removeCorrupt,
    onUse: (digest, size) => {
      if (!budget.use(digest)) budget.touch(digest, estimate(size))
    },
    pin: budget.pin,
  })

  const scan = async (): Promise<void> => {
    const found: FoundBlob[] = []
    for await (const batch of scanBlobs(root)) {
      if (background.isStopping()) return
      found.push(...batch.found)
      await overhead.measure(batch.directory)
    }
    const ordered = await byRecency(root, found)
    budget.restore(ordered.map(({ digest, size }) => [digest, size + directorySize]))
    await budget.evict()
    log.info({ blobs: found.length, bytes: budget.usage().bytes }, 'cache scanned')
  }

  metrics.onScrape(() => {
    const { bytes, blobs } = budget.usage()
    metrics.cacheSize.set(bytes)
    metrics.cacheBlobs.set(blobs)
    metrics.cachePinned.set(pins.bytes())
  })

  const maintain = async (): Promise<void> => {
    await background.attempt(temporary.clean(lock !== undefined))
    await background.attempt(removeOldLinks(root))
    await scan()
    // Another program has filled the disk: stored blobs are still served, and some of them are
    // evicted.
    if (full !== undefined) failures.report(full, 'create files')
    for (let checks = 1; ; checks += 1) {
      await background.pause(maintenanceInterval)
      await background.attempt(markCache(root))
      await measureOwnFiles()
      await budget.evict()
      if (checks % checksPerRecencyWrite === 0) await writeOrder()
    }
  }

  const writeOrder = async (): Promise<void> => {
    try {
      await writeRecency(root, temporary, budget.digests())
      await overhead.measure(recencyPath(root))
    } catch (error) {
      failures.report(error, 'write the order of use')
    }
  }

  const scrubAll = (): Promise<void> =>
    scrub({
      digests: budget.digests,
      verify: (digest, pace) => background.attempt(reader.verify(digest, pace)),
      isFilling: budget.isFilling,
      rate: scrubRate,
      interval: scrubInterval,
      pause: background.pause,
      now: () => performance.now(),
    })

  background.start(maintain())
  if (scrubRate > 0) background.start(scrubAll())

  const missIfUnreadable = createMissIfUnreadable(telemetry)

  const createFile = createBlobFiles({ root, temporary, budget, directorySize }, failures)

  const measure = (digest: Digest) => {
    const prefix = dirname(blobDirectory(root, digest))
    background.start(overhead.measure(prefix, dirname(prefix), temporary.directory))
  }

  const writes = createCacheWrites({ createFile, reader, hashTurn: createHashTurns(), measure })

  return {
    open: (digest, how) => missIfUnreadable(digest, reader.open(digest, how)),
    stat: (digest) => missIfUnreadable(digest, reader.stat(digest)),
    read: (digest, limit) => missIfUnreadable(digest, reader.read(digest, limit)),

    ...writes,
    use: budget.use,
    sizeOf: budget.sizeOf,
    evict: budget.evictThese,
    pins,
    usage: () => ({ ...budget.usage(), limit: maxSize }),
    links: links.of,
    pathOf: (digest) => blobPath(root, digest),

    isPaused: failures.isPaused,
    problem: () => failures.problem() ?? room.problem(),

    close: async () => {
      await background.stop()
      await reader.close()
      await writeOrder()
      await links.close().catch((error: unknown) => failures.report(error, 'write the links'))
      await temporary.close()
      await measureOwnFiles()
      await lock?.release()
    },
  }
}
