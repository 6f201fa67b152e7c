import type { Release } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import type { PageRequest } from '../oci/page.ts'
import type { Reference, RepositoryName, Tag } from '../oci/reference.ts'
import type { Body } from './body.ts'
import type { PingResult } from './ping.ts'
import type { Claim } from './slots.ts'

/**
 * A manifest as it came, its digest computed from its bytes and equal to whatever was asked for or
 * announced.
 */
export type RemoteManifest = {
  readonly digest: Digest
  readonly bytes: Buffer
  /** What the upstream's Content-Type says, for bytes that do not say what they are. */
  readonly contentType?: string
  /** Gives the memory back that is reserved for it: to be called by whoever asked, at last. */
  readonly release: Release
}

/** A blob under way. Nothing of it is verified. */
export type RemoteBlob = {
  /** Bytes of the whole blob; undefined when the upstream does not say. */
  readonly size: number | undefined
  /** Where the body begins: what was asked for, or 0 from an upstream that knows no ranges. */
  readonly from: number
  readonly body: Body
  readonly drop: () => void
}

/** One page of tags, sorted, none twice. */
export type RemoteTags = {
  readonly tags: readonly Tag[]
  /** The `last` that asks for the next page; undefined at the end. */
  readonly next?: string
  /** Bytes in memory. */
  readonly size: number
}

/** Descriptors, as the upstream wrote them. */
export type RemoteReferrers = {
  readonly descriptors: readonly unknown[]
  /** Bytes in memory. */
  readonly size: number
}

export type BlobOptions = {
  /** Address of the client that the download began for: slots are shared out between clients. */
  readonly client?: string | undefined
  readonly signal?: AbortSignal
  /** See {@link Claim}. */
  readonly giveWay?: () => boolean
  /** Goes on with a download that broke: asked once, since whoever goes on counts the attempts. */
  readonly isResume?: boolean
}

/**
 * One upstream registry, read. `undefined` is a true miss: it said 404. Everything else that is no
 * answer throws a RegistryError: DENIED (403) when it refuses us, UNAVAILABLE (502, 503, 504) when
 * it is broken, away or asks for quiet.
 */
export interface Remote {
  /** Scheme, host and port. */
  readonly origin: string
  readonly identity: () => string
  /** What it says to whoever shows no credential. For diagnosis. */
  ping(): Promise<PingResult>
  /** Whether it lets us in at all, without saying where to. Throws when it does not. */
  checkAccess(): Promise<void>
  /** Why it is not usable right now, if it is not. */
  problem(): string | undefined
  manifest(name: RepositoryName, reference: Reference): Promise<RemoteManifest | undefined>
  /**
   * The digest of a tag, without its manifest if the upstream can do that.
   */
  resolve(name: RepositoryName, tag: Tag): Promise<Digest | RemoteManifest | undefined>
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
  /** Without a page: the first one, of a size that the upstream takes. */
  tags(name: RepositoryName, page?: PageRequest): Promise<RemoteTags | undefined>
  /** What refers to `digest`; empty when nothing does. */
  referrers(name: RepositoryName, digest: Digest): Promise<RemoteReferrers>
  close(): Promise<void>
}
