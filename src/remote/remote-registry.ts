import type { Release } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import type { PageRequest } from '../oci/page.ts'
import type { Reference, RepositoryName, Tag } from '../oci/reference.ts'
import type { Body } from './body.ts'
import type { PingResult } from './ping.ts'
import type { RemoteWriter } from './remote-writer.ts'
import type { Claim } from './slots.ts'

/**
 * A manifest with its original bytes. Its digest is computed from the bytes and equals the
 * requested or announced digest.
 */
export type RemoteManifest = {
  readonly digest: Digest
  readonly bytes: Buffer
  /** The upstream's Content-Type, for manifests that do not contain their media type. */
  readonly contentType?: string
  /** Where it was found, if not at the upstream. */
  readonly source?: string
  /** Releases the memory that is reserved for the manifest: the caller must call it when done. */
  readonly release: Release
}

/** A blob in flight. No part of it is verified. */
export type RemoteBlob = {
  /** Bytes of the whole blob; undefined when the upstream does not say. */
  readonly size: number | undefined
  /** Offset of the body: as requested, or 0 from an upstream that does not support ranges. */
  readonly from: number
  readonly body: Body
  readonly drop: () => void
  /** What the response's headers say that may explain wrong bytes: `as text/html`. */
  readonly sent?: string | undefined
}

/** One page of tags, sorted, without duplicates. */
export type RemoteTags = {
  readonly tags: readonly Tag[]
  /** The `last` parameter for the next page; undefined at the end. */
  readonly next?: string
  /** Bytes in memory. */
  readonly size: number
}

/** Descriptors, as the upstream wrote them. */
export type RemoteReferrers = {
  readonly descriptors: readonly unknown[]
  /** Bytes in memory. */
  readonly size: number
  /** The upstream has no referrers API; clients maintain the list under a tag, which can be set. */
  readonly isTagged: boolean
}

export type BlobOptions = {
  /** Address of the client that started the download: slots are shared fairly between clients. */
  readonly client?: string | undefined
  readonly signal?: AbortSignal
  /** See {@link Claim}. */
  readonly releaseSlot?: () => boolean
  /**
   * Resumes a broken download: sent once, because the caller that resumes it counts the attempts.
   */
  readonly isResume?: boolean
}

export type ManifestOptions = {
  readonly signal?: AbortSignal | undefined
  /** On a connection of its own, which may lead to another replica than the pooled ones. */
  readonly isFresh?: boolean | undefined
}

/**
 * Reads from one upstream registry. `undefined` is a true miss: the upstream answered 404. All
 * other failures throw a RegistryError: DENIED (403) when the upstream refuses access, UNAVAILABLE
 * (502, 503, 504) when it is broken, unreachable or requests a pause.
 */
export interface Remote {
  /** Scheme, host and port. */
  readonly origin: string
  readonly identity: () => string
  /** The answer to a request without a credential. For diagnosis. */
  ping(): Promise<PingResult>
  /** Checks access to the registry as a whole, not to a repository. Throws when it is denied. */
  checkAccess(): Promise<void>
  /** Why the upstream is not usable at the moment, if so. */
  problem(): string | undefined
  manifest(
    name: RepositoryName,
    reference: Reference,
    options?: ManifestOptions,
  ): Promise<RemoteManifest | undefined>
  /** The digest of a tag, or a digest that is there, without its manifest if the upstream supports that. */
  resolve(
    name: RepositoryName,
    tag: Tag | Digest,
    options?: ManifestOptions,
  ): Promise<Digest | RemoteManifest | undefined>
  blob(
    name: RepositoryName,
    digest: Digest,
    from: number,
    options?: BlobOptions,
  ): Promise<RemoteBlob | undefined>
  /**
   * A part of a blob, both ends included; undefined when the upstream has no such blob, or does not
   * send exactly that part.
   */
  blobRange(
    name: RepositoryName,
    digest: Digest,
    range: { readonly first: number; readonly last: number },
    signal: AbortSignal,
  ): Promise<RemoteBlob | undefined>
  /** Whether the repository has the blob, and its size in bytes if the upstream says so. */
  statBlob(
    name: RepositoryName,
    digest: Digest,
  ): Promise<{ readonly size: number | undefined } | undefined>
  /** Without a page: the first one, of a size that the upstream accepts. */
  tags(name: RepositoryName, page?: PageRequest): Promise<RemoteTags | undefined>
  /**
   * All repositories, page by page, as far as our identity may see them.
   * @throws RegistryError UNSUPPORTED if the registry has no such list, or refuses it.
   */
  repositories(): AsyncIterable<readonly RepositoryName[]>
  /** The referrers of `digest`; empty when there are none. */
  referrers(name: RepositoryName, digest: Digest): Promise<RemoteReferrers>
  /**
   * The answer of Berth's own API (src/api), as JSON.
   * @throws RegistryError with the problem that it describes; UNSUPPORTED: the registry has no such API.
   */
  askApi(request: {
    readonly method: 'GET' | 'POST' | 'DELETE'
    /** Begins with `/api/`. */
    readonly path: string
    readonly repository: RepositoryName
    readonly signal?: AbortSignal
  }): Promise<unknown>
  /** Requests that write, with a token that may. */
  readonly writer: RemoteWriter
  close(): Promise<void>
}
