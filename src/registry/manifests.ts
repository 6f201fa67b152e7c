import type { LRUCache } from 'lru-cache'
import { type CacheMemory, createTurns, type Reservations } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { type Manifest, maxManifestSize, parseManifest } from '../oci/manifest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { BlobSource, LinkSource } from '../store/store.ts'

/** A manifest that is known to be in a repository: its bytes, and the view of them. */
export type KnownManifest = Manifest & { readonly digest: Digest; readonly bytes: Buffer }

/** Bytes that a manifest in memory, and each of its references, costs beside its own. */
const overhead = 2048
const referenceOverhead = 200
/** In bytes: parsing more holds the event loop. */
const long = 256 * 1024
/** How many times its bytes one takes while it is read and parsed. */
const readCopies = 2
/** What is pulled most lies here: it gives way after all other caches. */
const weight = 20

/**
 * Manifests by repository and digest, for all upstreams together: what is asked for most is
 * answered without the disk.
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
  /** What those that are read from the disk take their memory from. */
  readonly inFlight: Reservations
  /** Keeps the entries of one store apart from those of another. */
  readonly scope: string
  readonly blobs: BlobSource
  readonly links: LinkSource
}

/** What a store knows of manifests, memory first. */
export interface Manifests {
  inMemory(name: RepositoryName, digest: Digest): KnownManifest | undefined
  /**
   * Undefined unless the repository links it and its bytes are there. Rejects with UNAVAILABLE when
   * there is no memory for it.
   */
  stored(name: RepositoryName, digest: Digest): Promise<KnownManifest | undefined>
  /** `contentType` counts only where the bytes do not say what they are. */
  remember(
    name: RepositoryName,
    digest: Digest,
    bytes: Buffer,
    contentType?: string,
  ): Promise<KnownManifest>
}

type Context = { readonly name: RepositoryName; readonly digest: Digest }

export function createManifests(options: ManifestsOptions): Manifests {
  const { memory, caches, inFlight, scope, blobs, links } = options
  const keyOf = (name: RepositoryName, digest: Digest) => `${scope} ${name}@${digest}`
  const takeTurn = createTurns()

  const remember: Manifests['remember'] = async (name, digest, bytes, contentType) => {
    if (bytes.length > long) await takeTurn()
    const known = { ...parseManifest(bytes, contentType), digest, bytes }
    memory.set(keyOf(name, digest), known)
    return known
  }

  const read = async ({ name, digest }: Context): Promise<KnownManifest | undefined> => {
    const { size } = (await blobs.stat(digest)) ?? {}
    if (size === undefined || size > maxManifestSize) return undefined
    const release = inFlight.reserve(readCopies * size)
    if (release === undefined) throw outOfMemory()
    try {
      const bytes = await blobs.read(digest, maxManifestSize)
      return bytes && (await remember(name, digest, bytes))
    } finally {
      release()
    }
  }

  /** One for all who want the same. */
  const reads = caches.create<KnownManifest, Context>({
    ttl: 1,
    ignoreFetchAbort: true,
    fetchMethod: (_key, _stale, { context }) => read(context),
  })

  return {
    inMemory: (name, digest) => memory.get(keyOf(name, digest)),
    remember,
    stored: async (name, digest) => {
      const key = keyOf(name, digest)
      const known = memory.get(key)
      if (known !== undefined) return known
      if (!(await links.hasManifest(name, digest))) return undefined
      const stored = await reads.fetch(key, { context: { name, digest } })
      // It has its place in the other cache.
      reads.delete(key)
      return stored
    },
  }
}

function outOfMemory(): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: 'too many long manifests are being read at once; try again',
    retryAfter: 1,
  })
}
