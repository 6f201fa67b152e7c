import type { Chunks } from '../memory/memory.ts'
import type { Content } from '../oci/content.ts'
import type { Algorithm, Digest } from '../oci/digest.ts'
import type { PageRequest } from '../oci/page.ts'
import type { Reference, RepositoryName, Tag } from '../oci/reference.ts'
import type { UploadId } from '../oci/upload-id.ts'
import type { Remote } from '../remote/remote.ts'
import type { CachedLinkStore, RunId } from '../store/store.ts'
import type { Change, ListRequest, SharedList, SharedTag } from './shared-manifests.ts'

/**
 * Where a response comes from. `hit`: the cache. `miss`: the upstream. `coalesced`: a request to the
 * upstream that was already in flight. `stale`: the cache, while the upstream is unavailable.
 * `bypass`: the upstream, without storing, because there is no room or the disk fails. `redirect`: the client fetches it
 * from a bucket.
 */
export type CacheResult = 'hit' | 'miss' | 'coalesced' | 'stale' | 'bypass' | 'redirect'

/** Properties of every answer of a proxied repository; a hosted one has neither. */
export type Provenance = {
  readonly cache?: CacheResult
  /** For a `Warning` header. */
  readonly warning?: string
}

export type ManifestAnswer = Provenance & {
  readonly digest: Digest
  readonly mediaType: string
  readonly bytes: Buffer
  /** Name of the upstream in metrics; a hosted repository has none. */
  readonly upstream?: string
}

export type BlobAnswer = Provenance & {
  readonly content: Content
  /** As in ManifestAnswer. */
  readonly upstream?: string
}

export type ManifestRequest = {
  /** The client asks only whether it has the current manifest, so it will not pull layers next. */
  readonly isCheck?: boolean
  /** Somebody looks at it, which is no pull. */
  readonly isView?: boolean
  /** Of an upstream: compares the tag with it now, although the tag is fresh. */
  readonly isForced?: boolean
  /** Another replica asks, for its clients. */
  readonly isForwarded?: boolean
}

export type BlobRequest = {
  /** Only parts of the blob will be read. */
  readonly ranged?: boolean
  /** Address of the client: requests of different clients get slots in turn. */
  readonly client?: string
  /** Another replica asks, for its clients. */
  readonly isForwarded?: boolean
}

export type TagsAnswer = Provenance & {
  /** A page, sorted, without duplicates. */
  readonly tags: readonly Tag[]
  /** `last` of the request for the next page; undefined on the last page. */
  readonly next?: string
}

/** The page that a client asks for. */
export type ReferrersRequest = {
  readonly artifactType?: string | undefined
  /** The last digest of the page before. */
  readonly last?: string | undefined
  /** Bytes of descriptors as JSON. */
  readonly maxSize: number
}

export type ReferrersAnswer = Provenance & {
  /**
   * Descriptors as they were written, with all their fields. There may be others than the requested ones;
   * the list ends early only after more than the page.
   */
  readonly descriptors: readonly unknown[]
}

/** As `manifest` of the repository, but undefined if that would take a promise, or more than `maxSize` bytes. */
export type PreparedManifest = (how: {
  readonly isCheck: boolean
  readonly maxSize: number
}) => ManifestAnswer | undefined

/**
 * A repository that can be read. Undefined means that it does not have the content. All reject with
 * a RegistryError when the content is corrupt, denied or unavailable.
 */
export interface Repository {
  /** Synchronous for a manifest that is in memory. */
  manifest(
    reference: Reference,
    how?: ManifestRequest,
  ): ManifestAnswer | undefined | Promise<ManifestAnswer | undefined>
  /** For a reference that is requested often. */
  prepare?: ((reference: Reference) => PreparedManifest) | undefined
  /** Of an upstream with this origin: what a tag means, for another replica. */
  resolveTag?(tag: Tag, origin: string): Promise<SharedTag | undefined>
  /** Of an upstream with this origin: a list, for another replica. */
  share?(asked: ListRequest, origin: string): Promise<SharedList | undefined>
  /** Another replica has changed the repository of an upstream. */
  learn?(change: Change): Promise<void>
  /** The caller closes the content. */
  blob(digest: Digest, how?: BlobRequest): Promise<BlobAnswer | undefined>
  /** A URL where the client can fetch the blob without a credential; undefined: `blob` has it, or says why not. */
  redirect?: ((digest: Digest) => Promise<string | undefined>) | undefined
  /** Whether the repository has the blob, without downloading it. Size in bytes, if it is known. */
  statBlob(
    digest: Digest,
  ): Promise<(Provenance & { readonly size: number | undefined }) | undefined>
  tags(page: PageRequest): Promise<TagsAnswer | undefined>
  referrers(digest: Digest, page?: ReferrersRequest): Promise<ReferrersAnswer>
}

/** Whom an upload session belongs to: `user alice`, `anonymous`, `auth-off`. */
export type Writer = string

/** An upload session of one writer. Any other writer gets BLOB_UPLOAD_UNKNOWN. */
export type UploadRef = { readonly id: UploadId; readonly writer: Writer }

/** `size`: bytes that the session has. */
export type UploadStatus = { readonly id: UploadId; readonly size: number }

/** The bytes of one request as they arrive. Throws, or ends early, when the client goes away. */
export type Body = AsyncIterable<Chunks> & {
  /** Bytes, if the request announces them. */
  readonly size?: number | undefined
}

/**
 * Whether a request may change what a reference means now; undefined: it means nothing yet. The changes of one process
 * come one after another; those of other replicas, and of an upstream's other clients, may come in between.
 */
export type Precondition = (current: Digest | undefined) => boolean

/** Where the bytes of a request belong in the blob, in bytes; `size` as the request announces it. */
export type UploadRange = { readonly first: number; readonly size?: number | undefined }

/**
 * The write side of a repository. What is resolved is durable. All reject with UNAVAILABLE while
 * nothing can be written.
 */
export interface WritableRepository {
  /**
   * Starts an upload session. `size`: bytes of the blob, if announced.
   * @throws RegistryError DENIED: a quota leaves no room for `size`; TOOMANYREQUESTS: too many sessions.
   */
  startUpload(request: {
    readonly writer: Writer
    readonly algorithm: Algorithm
    readonly size?: number | undefined
  }): Promise<UploadStatus>
  /** @throws RegistryError BLOB_UPLOAD_UNKNOWN, as all that take an {@link UploadRef} do. */
  uploadStatus(upload: UploadRef): Promise<UploadStatus>
  /**
   * Appends the bytes of a body. When the body breaks off, the session keeps what arrived. Without a
   * range the bytes are appended where the session ends.
   * @throws RegistryError BLOB_UPLOAD_INVALID, status 416: the range does not begin where the session
   * ends, or another request writes to the session, which stays valid; DENIED: a quota is used up.
   */
  append(upload: UploadRef, body: Body, range?: UploadRange): Promise<UploadStatus>
  /**
   * Appends the body, if any, verifies the digest, and links the blob.
   * @throws RegistryError DIGEST_INVALID: the bytes have another digest; and as `append`.
   */
  finishUpload(upload: UploadRef, digest: Digest, body?: Body, range?: UploadRange): Promise<void>
  cancelUpload(upload: UploadRef): Promise<void>
  /**
   * Links a blob of another repository: of `from`, or of any that has it, and only of those that the
   * client may pull from. False: it has to be uploaded.
   */
  mount(request: {
    readonly digest: Digest
    readonly from?: RepositoryName | undefined
    readonly mayPull: (name: RepositoryName) => boolean
  }): Promise<boolean>
  /**
   * Stores a manifest, and points the tags to it: `tags`, and that of the reference.
   * @throws RegistryError MANIFEST_INVALID; DIGEST_INVALID: the reference is another digest;
   * MANIFEST_BLOB_UNKNOWN: the repository lacks what it references; DENIED, status 412: the precondition for the
   * reference does not hold.
   */
  putManifest(request: {
    readonly reference: Reference
    readonly tags: readonly Tag[]
    readonly bytes: Buffer
    readonly contentType?: string | undefined
    readonly writer: Writer
    readonly precondition?: Precondition | undefined
  }): Promise<{ readonly digest: Digest; readonly subject?: Digest }>
  /**
   * Removes the tag, and no manifest. False: there is no such tag, as below.
   * @throws RegistryError DENIED, status 412: the precondition does not hold.
   */
  deleteTag(tag: Tag, precondition?: Precondition): Promise<boolean>
  /** Removes the manifest, and all tags that point to it. */
  deleteManifest(digest: Digest): Promise<boolean>
  /** Removes the blob from this repository. */
  deleteBlob(digest: Digest): Promise<boolean>
}

/** What can be done with a repository. */
export type Opened = {
  readonly repository: Repository
  /** Undefined: it can only be read, for the reason in `readOnly`. */
  readonly writable?: WritableRepository | undefined
  /** Why nothing can be pushed or deleted, for an error message. */
  readonly readOnly?: string | undefined
}

/** The repository of a name, and its access. */
export type Resolved = Opened & {
  /** The one name of the repository in this registry, by which access is decided. */
  readonly name: RepositoryName
  /** The prefix that decided, of an upstream or of hosted repositories, and the name below it. */
  readonly prefix: string
  readonly below: RepositoryName
  readonly isHosted: boolean
  /** Whether anonymous users may pull, if the configuration allows anonymous users. */
  readonly anonymous: boolean
  /** The `?ns=` that selected the upstream, for `OCI-Namespace`. */
  readonly namespace?: string
}

/** What retention removes from hosted repositories, as part of a run. False: it is needed, or gone. */
export interface HostedRemovals {
  /** Only if the tag points to the digest. */
  untag(removal: {
    readonly name: RepositoryName
    readonly tag: Tag
    readonly digest: Digest
    readonly run: RunId
  }): Promise<boolean>
  /** Only if it has no tag, no manifest references it, and no client counts on it. */
  manifest(removal: {
    readonly name: RepositoryName
    readonly digest: Digest
    readonly run: RunId
  }): Promise<boolean>
}

export interface Registry {
  /**
   * @throws RegistryError NAME_UNKNOWN, DENIED: no upstream for the name, or one that does not
   * serve it.
   */
  resolve(name: RepositoryName, namespace?: string): Resolved
  /** Hosted and cached repositories, sorted. */
  catalog(): Promise<readonly RepositoryName[]>
  /** Number of downloads in flight. */
  fillsInFlight(): number
  /** Ends downloads, and waits for them. */
  close(): Promise<void>
}

export type UpstreamOptions = {
  readonly prefix: string
  /** Its name in metrics. */
  readonly upstream: string
  readonly remote: Remote
  readonly links: CachedLinkStore
  readonly tags: {
    readonly ttl: number
    readonly staleIfError: number
    readonly immutable: readonly string[]
    readonly except?: readonly string[]
  }
  /** Globs of names below the prefix. */
  readonly repositories: readonly string[]
  /** Globs of names below the prefix that are not served, although `repositories` matches them. */
  readonly except?: readonly string[]
  readonly anonymous: boolean
  readonly prefetch: boolean
  /** Pushes and deletions are sent to the upstream. */
  readonly push: boolean
}

/** Hosted repositories with a common prefix. */
export type HostedPrefix = {
  readonly prefix: string
  readonly anonymous: boolean
  /** Maximum bytes of different blobs; undefined: no limit. */
  readonly quota?: number | undefined
  /** Whether images are accepted whose blobs were not pushed. */
  readonly sparse?: boolean | undefined
}
