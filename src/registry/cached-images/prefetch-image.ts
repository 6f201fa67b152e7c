import { setTimeout as sleep } from 'node:timers/promises'
import type { Digest } from '../../oci/digest.ts'
import { isRegistryError, RegistryError } from '../../oci/errors.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { BlobCache } from '../../store/store.ts'
import type { Fills } from '../fills.ts'
import type { ProxiedBlobs } from '../proxied-blobs.ts'
import type { ProxiedManifests } from '../proxied-manifests.ts'
import { readParts } from './image-parts.ts'

/** Blobs of one image at the same time. */
const width = 2
/** Of one blob. A fill resumes broken connections itself. */
const maxAttempts = 3
/** In milliseconds: a failed download is not repeated for two seconds. */
const retryPause = 3000

/** The upstream of a repository, as far as a prefetch needs it. */
export type PrefetchSource = {
  readonly blobs: ProxiedBlobs
  readonly manifests: ProxiedManifests
  readonly fills: Fills
}

export type Prefetching = PrefetchSource & {
  readonly cache: BlobCache
  /** Below the upstream's prefix. */
  readonly name: RepositoryName
  readonly digest: Digest
  readonly platforms: readonly string[]
  readonly signal: AbortSignal
  /** Sizes in bytes of all blobs that the image has. */
  readonly onBlobs: (sizes: ReadonlyMap<Digest, number>) => void
  /** For a prefetch that nobody asked for: it gives up its slots when clients wait. */
  readonly admit?: ((bytes: number) => void) | undefined
}

/**
 * Downloads what is missing of an image by fills, as pulls do, which verify it. A reader that reads nothing
 * keeps each fill from giving up its slot; there are few of them at a time. With `admit` there is no reader.
 */
export async function prefetchImage(options: Prefetching): Promise<void> {
  const { manifests, cache, name, digest, platforms, signal, onBlobs, admit } = options
  const { blobs, skipped, ...read } = await readParts(digest, {
    platforms,
    read: async (each) => {
      signal.throwIfAborted()
      const found = await manifests.find(name, { digest: each })
      return found && { ...found.known, size: found.known.bytes.length }
    },
  })
  const isEmpty = platforms.length > 0 && read.manifests.size === 1 && blobs.size === 0
  if (isEmpty && skipped.length > 0)
    throw new RegistryError('MANIFEST_UNKNOWN', {
      message: `the index has no image for ${platforms.join(', ')}; it has ${skipped.join(', ')}`,
    })
  onBlobs(blobs)
  const missing = [...blobs].filter(([each]) => cache.sizeOf(each) === undefined)
  const bytes = missing.reduce((sum, [, size]) => sum + size, 0)
  const room = cache.usage().limit - cache.pins.bytes()
  if (bytes > room)
    throw new RegistryError('UNAVAILABLE', {
      status: 507,
      message: `${bytes} bytes are missing, and the cache has room for ${room}`,
      advice: 'choose platforms, or raise storage.cache.maxSize',
    })
  admit?.(bytes)
  const rest = [...blobs.keys()]
  const work = async (): Promise<void> => {
    for (let next = rest.shift(); next !== undefined; next = rest.shift())
      await fetchBlob(options, next)
  }
  await Promise.all(Array.from({ length: width }, work))
}

async function fetchBlob(options: Prefetching, digest: Digest): Promise<void> {
  const { signal } = options
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted()
    try {
      return await fetchOnce(options, digest)
    } catch (error) {
      const isFinal = attempt === maxAttempts || !isRegistryError(error, 'UNAVAILABLE')
      if (isFinal || signal.aborted) throw error
      await sleep(retryPause, undefined, { signal })
    }
  }
}

async function fetchOnce(
  { blobs, fills, cache, name, signal, admit }: Prefetching,
  digest: Digest,
): Promise<void> {
  const opened = await blobs.open(name, digest)
  if (opened === undefined)
    throw new RegistryError('BLOB_UNKNOWN', { message: `the upstream does not have ${digest}` })
  try {
    if (opened.cache === 'bypass') throw notStored(digest, 'the cache has no room for it')
    if (admit !== undefined) opened.content.close()
    await untilAborted(fills.find(digest)?.fill.done, signal)
  } finally {
    opened.content.close()
    if (signal.aborted) fills.stopUnread(digest)
  }
  if (cache.sizeOf(digest) !== undefined) return
  const failure = fills.recentFailure(name, digest)
  throw failure instanceof RegistryError
    ? failure
    : notStored(
        digest,
        admit === undefined
          ? 'the cache could not store it'
          : 'clients needed its place, or the cache could not store it',
      )
}

/** @throws what the signal was aborted with. */
async function untilAborted(done: Promise<void> | undefined, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<void>()
  const end = () => aborted.resolve()
  signal.addEventListener('abort', end)
  await Promise.race([done, aborted.promise])
  signal.removeEventListener('abort', end)
  signal.throwIfAborted()
}

function notStored(digest: Digest, reason: string): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    status: 507,
    message: `${digest} is not stored: ${reason}`,
  })
}
