import type { LRUCache } from 'lru-cache'
import { type CacheMemory, createTurns, type Reservations } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { type Manifest, maxManifestSize, parseManifest } from '../oci/manifest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { BlobSource, LinkSource } from '../store/store.ts'

/** A manifest that is known to be in a repository: its bytes, and their parsed form. */
export type KnownManifest = Manifest & { readonly digest: Digest; readonly bytes: Buffer }

/** Bytes that a manifest in memory, and each of its references, uses besides the manifest itself. */
const overhead = 2048
const referenceOverhead = 200
/** Longer manifests, in bytes, are parsed one per turn of the event loop, which they block. */
const maxParsedAtOnce = 256 * 1024
/** Memory that reading and parsing a manifest needs, as a multiple of its size. */
const memoryPerByte = 2
/** Manifests are requested most often: this cache shrinks after all others. */
const weight = 20

/**
 * Manifests by repository and digest, of all upstreams, so that frequent requests need no disk.
 */
export type ManifestMemory = LRUCache<string, KnownManifest>

export function createManifestMemory(caches: CacheMemory): ManifestMemory {
  return caches.create({
    weight,
    size: ({ bytes, references }: KnownManifest) =>
      bytes.length + overhead + references.length * referenceOverhead,
  })
}

type ManifestsOptions = {
  readonly memory: ManifestMemory
  readonly caches: CacheMemory
  /** Memory for manifests that are being read from the disk. */
  readonly inFlight: Reservations
  /** Separates the entries of one store from those of others. */
  readonly scope: string
  readonly blobs: BlobSource
  readonly links: LinkSource
}

/** The manifests of a store, from memory or its disk. */
export interface Manifests {
  inMemory(name: RepositoryName, digest: Digest): KnownManifest | undefined
  /** As `inMemory` with each call; faster for the digest of the last one. */
  prepare(name: RepositoryName): (digest: Digest) => KnownManifest | undefined
  /**
   * Undefined unless the repository has a link to it and the store has its bytes. Rejects with
   * UNAVAILABLE when there is no memory for it.
   */
  stored(name: RepositoryName, digest: Digest): Promise<KnownManifest | undefined>
  /** Parses a manifest and keeps it in memory. `contentType` is for bytes without a media type. */
  remember(
    name: RepositoryName,
    digest: Digest,
    bytes: Buffer,
    contentType?: string,
  ): Promise<KnownManifest>
  /** Drops it from memory, because it was deleted. */
  forget(name: RepositoryName, digest: Digest): void
}

type Context = { readonly name: RepositoryName; readonly digest: Digest }

export function createManifests(options: ManifestsOptions): Manifests {
  const { memory, caches, inFlight, scope, blobs, links } = options
  const keyOf = (name: RepositoryName, digest: Digest) => `${scope} ${name}@${digest}`
  const takeTurn = createTurns()

  const remember: Manifests['remember'] = async (name, digest, bytes, contentType) => {
    if (bytes.length > maxParsedAtOnce) await takeTurn()
    const known = { ...parseManifest(bytes, contentType), digest, bytes }
    memory.set(keyOf(name, digest), known)
    return known
  }

  const read = async ({ name, digest }: Context): Promise<KnownManifest | undefined> => {
    const { size } = (await blobs.stat(digest)) ?? {}
    if (size === undefined || size > maxManifestSize) return undefined
    const release = inFlight.reserve(memoryPerByte * size)
    if (release === undefined) throw outOfMemory()
    try {
      const bytes = await blobs.read(digest, maxManifestSize)
      return bytes && (await remember(name, digest, bytes))
    } finally {
      release()
    }
  }

  /** Concurrent requests for one manifest share one read. */
  const reads = caches.create<KnownManifest, Context>({
    ttl: 1,
    ignoreFetchAbort: true,
    fetchMethod: (_key, _stale, { context }) => read(context),
  })

  return {
    inMemory: (name, digest) => memory.get(keyOf(name, digest)),
    prepare: (name) => {
      let last: { readonly digest: Digest; readonly key: string } | undefined
      return (digest) => {
        if (last?.digest !== digest) last = { digest, key: keyOf(name, digest) }
        return memory.get(last.key)
      }
    },
    remember,
    forget: (name, digest) => {
      memory.delete(keyOf(name, digest))
    },
    stored: async (name, digest) => {
      const key = keyOf(name, digest)
      const known = memory.get(key)
      if (known !== undefined) return known
      if (!(await links.hasManifest(name, digest))) return undefined
      const stored = await reads.fetch(key, { context: { name, digest } })
      // The other cache has it now.
      reads.delete(key)
      return stored
    },
  }
}

function outOfMemory(): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message:
      'not enough memory to read the manifest: too many large manifests are being read; retry',
    retryAfter: 1,
  })
}
