import type { CacheMemory } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { isRegistryError, RegistryError, withoutCause } from '../oci/errors.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Remote } from '../remote/remote.ts'
import type { BlobCache } from '../store/store.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { type BlobOrigin, type OpenedOrigins, openOrigins } from './blob-origins.ts'
import type { Counters } from './counters.ts'
import { createFarRanges, createRangeSlots } from './far-ranges.ts'
import { type Fill, type FillProgress, startFill } from './fill.ts'

/**
 * How long a failed download is not retried, and how long "no such blob" is cached, in
 * milliseconds.
 */
const failureTtl = 2000
const absenceTtl = 5000
/** How long a blob that could not be stored is left to other replicas, in milliseconds. */
const unstoredTtl = 5000

/** Downloads in flight from one upstream, by digest: at most one for each. */
export interface Fills {
  /** The download of a blob in flight, and the repository that it was requested from. */
  find(digest: Digest): RunningFill | undefined
  /** The failure of a recent download: the error, or `absent`. */
  recentFailure(name: RepositoryName, digest: Digest): RegistryError | 'absent' | undefined
  /** It could not be stored some seconds ago. */
  isUnstored(digest: Digest): boolean
  /** The blob was pushed: a recent failure does not count any more. */
  forgetFailure(name: RepositoryName, digest: Digest): void
  /** Something was pushed to the repository elsewhere. */
  forgetAbsences(name: RepositoryName): void
  start(name: RepositoryName, digest: Digest, how: StartOptions): RunningFill
  /** Stops a download that nobody reads. */
  stopUnread(digest: Digest): void
  running(): number
  list(): readonly RunningDownload[]
  close(): Promise<void>
}

type RunningDownload = FillProgress & {
  readonly name: RepositoryName
  readonly digest: Digest
  /** Milliseconds since the epoch. */
  readonly startedAt: number
}

export type RunningFill = {
  readonly fill: Fill
  readonly name: RepositoryName
  /** Where the bytes come from: the name of an origin, or `upstream`, whose answer grants the permission. */
  readonly source: () => string
  /** Resolves when the upstream is asked. */
  readonly atUpstream: Promise<void>
}

type StartOptions = {
  /** The size in the manifest, if known. */
  readonly expectedSize: number | undefined
  /** Are asked for the bytes before the upstream. */
  readonly origins: readonly BlobOrigin[]
  /** Those for each reader of a blob that cannot be stored. */
  readonly findOrigins: () => readonly BlobOrigin[]
  /** See `openOrigins`. */
  readonly isPermitted: () => Promise<boolean>
  /** The address of the client that requested the blob; undefined for a prefetch. */
  readonly client: string | undefined
}

type FillFailure = {
  readonly error: unknown
  /** Size or digest is wrong. */
  readonly isWrong: boolean
  /** Not all of the wrong bytes came from the upstream. */
  readonly isOfOrigin: boolean
}

type FillsOptions = {
  readonly prefix: string
  readonly upstream: string
  readonly remote: Remote
  readonly blobs: BlobCache
  /** Milliseconds. */
  readonly deadline: number
  readonly maxStall: number
  readonly counters: Counters
  readonly caches: CacheMemory
  readonly telemetry: Telemetry
}

export function createFills({
  prefix,
  upstream,
  remote,
  blobs,
  deadline,
  maxStall,
  counters,
  caches,
  telemetry,
}: FillsOptions): Fills {
  const { log, metrics } = telemetry
  const running = new Map<
    Digest,
    RunningFill & { readonly startedAt: number; readonly stop: (reason: RegistryError) => void }
  >()
  const failures = caches.create<RegistryError | 'absent'>({ ttl: failureTtl })
  const unstored = caches.create<true>({ ttl: unstoredTtl })
  const rangeSlots = createRangeSlots()
  let closed = false
  const keyOf = (name: RepositoryName, digest: Digest) => `${name}@${digest}`

  const failed = (
    name: RepositoryName,
    digest: Digest,
    { error, isWrong, isOfOrigin }: FillFailure,
  ): void => {
    if (isWrong && !isOfOrigin) metrics.digestMismatches.inc({ upstream })
    log.warn(
      { upstream, origin: remote.origin, repository: name, digest, err: error },
      'fill failed',
    )
    // A fill that gave up its slot, or got wrong bytes elsewhere, may be started again at once.
    if (error === slotReleased || error === canceled || isOfOrigin) return
    failures.set(
      keyOf(name, digest),
      isRegistryError(error) ? withoutCause(error) : new RegistryError('UNKNOWN'),
    )
  }

  return {
    find: (digest) => running.get(digest),
    recentFailure: (name, digest) => failures.get(keyOf(name, digest)),
    isUnstored: (digest) => unstored.has(digest),
    forgetFailure: (name, digest) => void failures.delete(keyOf(name, digest)),
    forgetAbsences: (name) => {
      for (const [key, failure] of failures.entries())
        if (failure === 'absent' && key.startsWith(`${name}@`)) failures.delete(key)
    },

    start: (name, digest, { expectedSize, origins, findOrigins, isPermitted, client }) => {
      const controller = new AbortController()
      const timer = setTimeout(() => controller.abort(tooLong), deadline)
      const { signal } = controller
      const used: OpenedOrigins[] = []
      const openThese = (these: readonly BlobOrigin[]) => {
        const opened = openOrigins({
          blob: { prefix, name, digest },
          origins: these,
          isPermitted,
          upstream: (from, options) => remote.blob(name, digest, from, { ...options, client }),
          upstreamRange: (first, last, signal) =>
            remote.blobRange(name, digest, { first, last }, signal),
          onFailure: ({ name: origin }, err) =>
            log.warn(
              { upstream, origin, repository: name, digest, err },
              'cannot get the blob from this origin; asking the next one',
            ),
        })
        used.push(opened)
        const onBytes = (bytes: number) => counters.fetched('blob', bytes, opened.source())
        return { ...opened, onBytes }
      }
      const { open, onBytes, openRange, source, atUpstream, stored } = openThese(origins)
      const farRanges = createFarRanges({
        openRange,
        slots: rangeSlots,
        signal,
        onBytes: (bytes) => {
          metrics.fillRanges.inc({ upstream })
          counters.fetched('blob', bytes)
        },
        onMismatch: (position) => {
          metrics.digestMismatches.inc({ upstream })
          log.error(
            { upstream, origin: remote.origin, repository: name, digest, position },
            'the upstream sent wrong bytes for a range of a blob; clients have received them',
          )
        },
      })
      const fill = startFill({
        digest,
        farRanges,
        expectedSize,
        blobs,
        open,
        maxStall,
        signal,
        abandon: () => controller.abort(slotReleased),
        onBytes,
        openSource: () => openThese(findOrigins()),
        onResume: (position, error) => {
          metrics.fillResumes.inc({ upstream })
          log.warn(
            { upstream, repository: name, digest, position, err: error },
            'the connection of a fill broke; resuming it',
          )
        },
        onAbsent: () => failures.set(keyOf(name, digest), 'absent', { ttl: absenceTtl }),
        onBypass: () => unstored.set(digest, true),
        onStored: stored,
        onFailure: (error) => {
          const isWrong = isRegistryError(error, 'DIGEST_INVALID', 'SIZE_INVALID')
          failed(name, digest, { error, isWrong, isOfOrigin: isWrong && areWrong(used) })
        },
      })
      if (closed) controller.abort(closing)
      const started = {
        fill,
        name,
        source,
        atUpstream,
        startedAt: Date.now(),
        stop: (reason: RegistryError) => controller.abort(reason),
      }
      running.set(digest, started)
      void fill.done.finally(() => {
        clearTimeout(timer)
        running.delete(digest)
      })
      return started
    },

    stopUnread: (digest) => {
      const found = running.get(digest)
      if (found?.fill.progress().readers === 0) found.stop(canceled)
    },
    running: () => running.size,
    list: () =>
      [...running].map(([digest, { fill, name, startedAt }]) => ({
        ...{ name, digest, startedAt },
        ...fill.progress(),
      })),
    close: async () => {
      closed = true
      const fills = [...running.values()]
      for (const { stop } of fills) stop(closing)
      await Promise.all(fills.map(({ fill }) => fill.done))
    },
  }
}

/** Tells all origins. False: all bytes came from the upstream. */
function areWrong(opened: readonly OpenedOrigins[]): boolean {
  return opened.map(({ wrong }) => wrong()).includes(true)
}

const tooLong = new RegistryError('UNAVAILABLE', {
  message: 'the download exceeded limits.fillDeadline',
  status: 504,
})
const slotReleased = new RegistryError('UNAVAILABLE', {
  message: 'the download had no readers, and other requests waited for its slot; retry',
  retryAfter: 1,
})
const canceled = new RegistryError('UNAVAILABLE', {
  message: 'the prefetch was canceled; retry',
  retryAfter: 1,
})
const closing = new RegistryError('UNAVAILABLE', {
  message: 'Berth is shutting down',
  retryAfter: 1,
})
