import type { Content } from '../oci/content.ts'
import type { Digest } from '../oci/digest.ts'
import type { PageRequest } from '../oci/page.ts'
import type { Reference, RepositoryName, Tag } from '../oci/reference.ts'
import type { Remote } from '../remote/remote.ts'
import type { LinkStore } from '../store/store.ts'

/**
 * How the cache answered: from itself; by asking the upstream; by joining a download under way;
 * from itself though the upstream could not be asked; from the upstream without storing, for want
 * of room or of a working disk.
 */
export type CacheResult = 'hit' | 'miss' | 'coalesced' | 'stale' | 'bypass'

/**
 * What every answer of a proxied repository tells beside the content; a hosted one's has neither.
 */
export type Provenance = {
  readonly cache?: CacheResult
  /** For a `Warning` header. */
  readonly warning?: string
}

export type ManifestAnswer = Provenance & {
  readonly digest: Digest
  readonly mediaType: string
  readonly bytes: Buffer
  /** Called with the number of bytes that were sent to the client. */
  readonly onSent: (bytes: number) => void
}

export type BlobAnswer = Provenance & {
  readonly content: Content
  readonly onSent: (bytes: number) => void
}

export type BlobRequest = {
  /** Only parts of the blob will be read. */
  readonly ranged?: boolean
  /** Address of the client: downloads are shared out between clients. */
  readonly client?: string
}

export type TagsAnswer = Provenance & {
  /** A page, sorted, none twice. */
  readonly tags: readonly Tag[]
  /** The `last` that asks for the next page; undefined at the end. */
  readonly next?: string
}

export type ReferrersAnswer = Provenance & {
  /** Descriptors as they were written, fields that we do not know included. */
  readonly descriptors: readonly unknown[]
}

/**
 * A repository that can be read. Undefined is a true miss; what is broken, refused or away throws a
 * RegistryError.
 */
export interface Repository {
  manifest(reference: Reference): Promise<ManifestAnswer | undefined>
  /** The caller closes the content. */
  blob(digest: Digest, how?: BlobRequest): Promise<BlobAnswer | undefined>
  /** Whether the repository has the blob, without downloading it. Size in bytes, if it is known. */
  statBlob(
    digest: Digest,
  ): Promise<(Provenance & { readonly size: number | undefined }) | undefined>
  tags(page: PageRequest): Promise<TagsAnswer | undefined>
  referrers(digest: Digest): Promise<ReferrersAnswer>
}

/** Where a name leads. */
export type Resolved = {
  /** The one name of the repository here, however it was asked for: what access is decided by. */
  readonly name: RepositoryName
  readonly repository: Repository
  /** Whether users who did not say who they are may read it, where such users are let in at all. */
  readonly anonymous: boolean
  /** The `?ns=` that decided, for `OCI-Namespace`. */
  readonly namespace?: string
}

export interface Registry {
  /**
   * @throws RegistryError NAME_UNKNOWN, DENIED: no upstream for the name, or one that does not
   * serve it.
   */
  resolve(name: RepositoryName, namespace?: string): Resolved
  /** Hosted and cached repositories, sorted. */
  catalog(): Promise<readonly RepositoryName[]>
  /** Downloads that are running. */
  fillsInFlight(): number
  /** Ends downloads, and waits for them. */
  close(): Promise<void>
}

export type UpstreamOptions = {
  readonly prefix: string
  /** Its name in metrics. */
  readonly upstream: string
  readonly remote: Remote
  readonly links: LinkStore
  readonly tags: {
    readonly ttl: number
    readonly staleIfError: number
    readonly immutable: readonly string[]
    readonly except?: readonly string[]
  }
  /** Globs of names below the prefix. */
  readonly repositories: readonly string[]
  /** Globs of names below the prefix that are not served, though `repositories` has them. */
  readonly except?: readonly string[]
  readonly anonymous: boolean
  readonly prefetch: boolean
}
