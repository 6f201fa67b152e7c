import type { CacheMemory } from '../../memory/memory.ts'
import { RegistryError } from '../../oci/errors.ts'
import { formatReference, type Reference, type RepositoryName } from '../../oci/reference.ts'
import type { BlobCache, CachedLinkStore } from '../../store/store.ts'
import type { Logger } from '../../telemetry/telemetry.ts'
import { evictImage } from './evictions.ts'
import { readParts } from './image-parts.ts'
import type { CachedImages, CachedRepository, PinnedImage } from './images.ts'
import { type Prefetching, type PrefetchSource, prefetchImage } from './prefetch-image.ts'
import { createPrefetches } from './prefetches.ts'
import { cachedDigest, createReadStored, findCachedDigest, isComplete } from './stored-images.ts'

/** One upstream. */
type Source = PrefetchSource & {
  readonly links: CachedLinkStore
  /** The name below its prefix; undefined: the name is not its own. */
  readonly nameBelow: (name: RepositoryName) => RepositoryName | undefined
}

type Options = {
  readonly cache: BlobCache
  readonly caches: CacheMemory
  readonly sources: readonly Source[]
  readonly log: Logger
}

export function createCachedImages({
  cache,
  caches,
  sources,
  log,
}: Options): CachedImages & { close(): Promise<void> } {
  const read = createReadStored(cache, caches)
  const links = sources.map((source) => source.links)
  const prefetches = createPrefetches(cache, log)
  const { pins } = cache

  const describe = ({ name, digest, at, parts }: ReturnType<typeof pins.list>[number]) => {
    const stored = [...parts].filter(([part]) => cache.sizeOf(part) !== undefined)
    const sum = (of: Iterable<readonly [unknown, number]>) =>
      [...of].reduce((total, [, size]) => total + size, 0)
    return { name, digest, pinnedAt: at, size: sum(parts), stored: sum(stored) }
  }

  const open = (name: RepositoryName, below: RepositoryName, source: Source): CachedRepository => {
    const digestOf = async (reference: Reference, how?: { readonly isForced: boolean }) => {
      const found = await source.manifests.find(below, reference, how)
      if (found !== undefined) return found.known.digest
      throw new RegistryError('MANIFEST_UNKNOWN', {
        message: `the upstream of ${name} does not have ${formatReference(reference)}`,
      })
    }
    const start = (
      reference: Reference,
      { digest, platforms, admit }: Pick<Prefetching, 'digest' | 'platforms' | 'admit'>,
    ) =>
      prefetches.start({
        ...{ name, digest, platforms, reference: formatReference(reference) },
        fills: source.fills,
        run: (job) =>
          prefetchImage({ ...source, ...job, cache, name: below, digest, platforms, admit }),
      })

    return {
      prefetch: async (reference, platforms) => {
        const digest = await digestOf(reference, { isForced: 'tag' in reference })
        return start(reference, { digest, platforms }).now
      },
      warm: async (reference, { platforms, admit, signal }) => {
        const last = findCachedDigest({ below, links: source.links }, reference)
        if (last !== undefined && (await isComplete(last, { cache, read, platforms }))) return
        const digest = await digestOf(reference)
        signal.throwIfAborted()
        const { ended } = start(reference, { digest, platforms, admit })
        const cancel = () => void prefetches.cancel(name, digest)
        signal.addEventListener('abort', cancel)
        const { state, problem } = await ended.finally(() =>
          signal.removeEventListener('abort', cancel),
        )
        if (state !== 'done') throw new Error(problem ?? 'the prefetch was canceled')
      },
      prefetchOf: (reference) => prefetches.find(name, formatReference(reference)),
      cancelPrefetch: (reference) => prefetches.cancel(name, formatReference(reference)),

      pin: async (reference): Promise<PinnedImage> => {
        const digest = cachedDigest({ name, below, links: source.links }, reference)
        const { manifests, blobs } = await readParts(digest, { read })
        if (manifests.size === 0)
          throw new RegistryError('MANIFEST_UNKNOWN', {
            message: `nothing of ${name}@${digest} is in the cache`,
            advice: 'prefetch it first',
          })
        const pin = { name, digest, at: Date.now(), parts: new Map([...manifests, ...blobs]) }
        await pins.add(pin)
        return describe(pin)
      },
      unpin: async (reference) => {
        const digest =
          'digest' in reference
            ? reference.digest
            : cachedDigest({ name, below, links: source.links }, reference)
        return (await pins.remove(name, digest)) ? digest : undefined
      },

      evict: async (reference, { dryRun }) => {
        const digest = cachedDigest({ name, below, links: source.links }, reference)
        const blocked =
          pins.find(name, digest) !== undefined
            ? 'it is pinned: unpin it first'
            : prefetches.find(name, digest)?.state === 'running'
              ? 'it is being prefetched: cancel that first'
              : undefined
        if (blocked !== undefined) return { digest, evicted: false, frees: 0, stays: 0, blocked }
        return evictImage({ cache, read, links }, { links: source.links, below, digest, dryRun })
      },
    }
  }

  const isServed = (name: RepositoryName) =>
    sources.some(({ nameBelow }) => nameBelow(name) !== undefined)
  /** Nobody could unpin them: their upstream is no longer in the configuration. */
  const dropUnserved = async (): Promise<void> => {
    for (const { name, digest } of pins.list().filter((pin) => !isServed(pin.name))) {
      log.warn({ repository: name, digest }, 'unpinned an image that no upstream serves any more')
      await pins.remove(name, digest).catch(() => {})
    }
  }
  const dropped = dropUnserved()

  return {
    of: (name) => {
      for (const source of sources) {
        const below = source.nameBelow(name)
        if (below !== undefined) return open(name, below, source)
      }
      throw new RegistryError('UNSUPPORTED', {
        message: `${name} is stored here, not cached: there is no upstream to fetch it from`,
      })
    },
    prefetches: prefetches.list,
    pins: () => ({ images: pins.list().map(describe), bytes: pins.bytes(), limit: pins.limit }),
    close: async () => {
      await Promise.all([dropped, prefetches.close()])
    },
  }
}
