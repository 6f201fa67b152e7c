import type { CacheMemory } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { BlobCache, CachedLinkStore } from '../store/store.ts'
import type { Logger } from '../telemetry/telemetry.ts'
import type { KnownManifest, Manifests } from './manifests.ts'

/** Maximum number of a manifest's references that a pull marks as used. */
const maxUsed = 200
/** Minimum time between attempts to store a manifest again, in milliseconds. */
const restoreInterval = 5000

/** Manifests of one upstream's repositories in memory and on the disk, and their use. */
export interface StoredManifests {
  find(name: RepositoryName, digest: Digest): Promise<KnownManifest | undefined>
  /** Writes a manifest to the disk, if possible. */
  store(name: RepositoryName, manifest: Pick<KnownManifest, 'digest' | 'bytes'>): Promise<void>
  /**
   * A pull of a manifest, also from memory, marks its references as used. A node that has the
   * layers does not request them, but the next node will. False: the manifest is not on the disk.
   */
  use(name: RepositoryName, known: KnownManifest): boolean
  /**
   * As `use`; stores a manifest or link that was evicted and is used again, so that it survives a
   * restart.
   */
  useAndRestore(name: RepositoryName, known: KnownManifest): Promise<void>
}

type StoredManifestsOptions = {
  readonly upstream: string
  readonly manifests: Manifests
  readonly links: CachedLinkStore
  readonly cache: BlobCache
  readonly caches: CacheMemory
  readonly log: Logger
  /** A manifest was read from the disk. */
  readonly onManifest: (name: RepositoryName, known: KnownManifest) => void
}

export function createStoredManifests(options: StoredManifestsOptions): StoredManifests {
  const { upstream, manifests, links, cache, caches, log, onManifest } = options
  const restored = caches.create<true>({ ttl: restoreInterval })

  const store: StoredManifests['store'] = async (name, { digest, bytes }) => {
    await cache.put(digest, bytes)
    await links.addManifest(name, digest).catch((err: unknown) => {
      log.warn({ upstream, repository: name, digest, err }, 'cannot store a link to a manifest')
    })
  }

  const use: StoredManifests['use'] = (name, known) => {
    for (const { digest } of known.references.slice(0, maxUsed)) {
      const child = known.isIndex ? manifests.inMemory(name, digest) : undefined
      for (const below of child?.references.slice(0, maxUsed) ?? []) cache.use(below.digest)
      cache.use(digest)
    }
    return cache.use(known.digest)
  }

  return {
    // A manifest typed by its Content-Type alone is fetched again: the disk stores no types.
    find: async (name, digest) => {
      const inMemory = manifests.inMemory(name, digest)
      if (inMemory !== undefined) return inMemory
      const known = await manifests.stored(name, digest).catch((error: unknown) => {
        if (isRegistryError(error, 'MANIFEST_INVALID')) return undefined
        throw error
      })
      if (known !== undefined) onManifest(name, known)
      return known
    },
    store,
    use,
    useAndRestore: async (name, known) => {
      if (use(name, known)) {
        await links.addManifest(name, known.digest).catch(() => {})
      } else if (!restored.has(known.digest)) {
        restored.set(known.digest, true)
        await store(name, known)
      }
    },
  }
}
