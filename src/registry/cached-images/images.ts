import type { Digest } from '../../oci/digest.ts'
import type { Reference, RepositoryName } from '../../oci/reference.ts'

/** Bytes, and blobs. */
type Amount = { readonly blobs: number; readonly bytes: number }

/** A download of all that an image needs, as far as it has come. */
export type Prefetch = {
  readonly name: RepositoryName
  readonly digest: Digest
  /** As it was asked for: a tag or a digest. */
  readonly reference: string
  /** Empty: all. */
  readonly platforms: readonly string[]
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly endedAt?: number | undefined
  readonly state: 'running' | 'done' | 'failed' | 'canceled'
  /** Grows while manifests are read. */
  readonly total: Amount
  /** Of these, what is in the cache. */
  readonly stored: Amount
  /** Why it failed. */
  readonly problem?: string | undefined
}

/** Bytes of all parts, and of those that are in the cache. */
export type PinnedImage = {
  readonly name: RepositoryName
  readonly digest: Digest
  readonly pinnedAt: number
  readonly size: number
  readonly stored: number
}

export type Eviction = {
  readonly digest: Digest
  readonly evicted: boolean
  /** Bytes that it frees, or has freed. */
  readonly frees: number
  /** Bytes that stay, because other images in the cache, or pinned images, have them. */
  readonly stays: number
  /** Why nothing is evicted. */
  readonly blocked?: string | undefined
}

type Warming = {
  readonly platforms: readonly string[]
  /** Gets the bytes that are missing, before they are requested; throws if they are too many. */
  readonly admit: (bytes: number) => void
  readonly signal: AbortSignal
}

/** What people do with images in the cache of this process. Others have their own. */
export interface CachedImages {
  /** @throws RegistryError UNSUPPORTED: the repository is hosted. */
  of(name: RepositoryName): CachedRepository
  /** Those that run, and those that ended not long ago. */
  prefetches(): readonly Prefetch[]
  pins(): {
    readonly images: readonly PinnedImage[]
    /** Bytes: each blob once, and how many may be pinned. */
    readonly bytes: number
    readonly limit: number
  }
}

/** All reject with MANIFEST_UNKNOWN if the cache does not know a tag or a digest. */
export interface CachedRepository {
  /**
   * Compares a tag with the upstream, and starts to download what is missing; joins a prefetch that runs.
   * @throws RegistryError TOOMANYREQUESTS: too many run; and as a pull.
   */
  prefetch(reference: Reference, platforms: readonly string[]): Promise<Prefetch>
  /**
   * Downloads what is missing of an image that a workload names, and gives way to clients. Does not ask the
   * upstream about an image that is complete, even if its tag may have moved. Rejects with why it failed.
   */
  warm(reference: Reference, how: Warming): Promise<void>
  /** By the digest, or by the reference that it was asked for with. */
  prefetchOf(reference: Reference): Prefetch | undefined
  /** Blobs that are in the cache stay. False: none runs. */
  cancelPrefetch(reference: Reference): boolean
  /**
   * Never evicts the image: of an index, the platforms that are in the cache now.
   * @throws RegistryError UNSUPPORTED, status 409: there is no room for it.
   */
  pin(reference: Reference): Promise<PinnedImage>
  /** The image that is not pinned any more; undefined: it was not. */
  unpin(reference: Reference): Promise<Digest | undefined>
  /** Removes from the disk what no other image in the cache has. Clients can pull it again. */
  evict(reference: Reference, how: { readonly dryRun: boolean }): Promise<Eviction>
}
