import type { Chunks } from '../../memory/memory.ts'
import type { Algorithm, Digest } from '../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { UploadId } from '../../oci/upload-id.ts'
import type { BlobSource } from '../blob-store.ts'
import type { LinkStore } from '../link-store.ts'
import type { RunId } from './run-id.ts'

/**
 * Blobs, links and upload sessions of hosted repositories. What a method that adds or sets resolves
 * for survives a power loss. A method that changes anything rejects with UNAVAILABLE while nothing
 * can be written, and with the system's error when the disk fails: then nothing has changed.
 */
export interface HostedStore {
  readonly blobs: HostedBlobs
  readonly links: HostedLinks
  readonly uploads: UploadStore
  readonly trash: Trash
  /**
   * For pulls, with fewer questions to the store: a removal by another process is seen up to a minute later, and what
   * is known is answered while the store cannot be reached. Undefined: pulls use `blobs` and `links`.
   */
  readonly reading?: Pick<HostedStore, 'blobs' | 'links'> | undefined
  /**
   * For who reads everything, `width` things at the same time, while the requests of clients go first. Undefined: it is a
   * disk, which is read with rests.
   */
  readonly scanning?:
    | (Pick<HostedStore, 'blobs' | 'links'> & {
        readonly width: number
        /** Rejects if it is another bucket by now. */
        confirm(): Promise<void>
      })
    | undefined
  /** Why nothing can be written now. */
  problem(): string | undefined
  close(): Promise<void>
}

/** `modified`: milliseconds since the epoch. */
export type StoredBlob = {
  readonly digest: Digest
  readonly size: number
  readonly modified: number
}

/** A blob that is read while it is in the trash is restored first. */
export interface HostedBlobs extends BlobSource {
  /** Where a client can fetch a large blob itself, without a credential. Undefined: `open` reads it from the local disk. */
  urlOf?(digest: Digest): Promise<string | undefined>
  /**
   * Stores a small blob.
   * @throws RegistryError DIGEST_INVALID: the bytes have another digest.
   */
  put(digest: Digest, bytes: Buffer): Promise<void>
  /** Whether it is stored, and not only in the trash. Restores nothing. */
  isStored(digest: Digest): Promise<boolean>
  /** All blobs, in no order. */
  list(): AsyncIterable<StoredBlob>
  /** Moves a blob to the trash; a power loss may undo it. False: there is no such blob. */
  remove(digest: Digest, run: RunId): Promise<boolean>
}

/** `at`: milliseconds since the epoch. */
export type TagVersion = { readonly digest: Digest; readonly at: number }

/** A tag that is in the trash; `at`: when it was set to the digest. */
export type RemovedTag = TagVersion & { readonly tag: Tag; readonly removedAt: number }

/** Removals move links to the trash. False: there was nothing to remove. */
export interface HostedLinks extends LinkStore {
  removeBlob(name: RepositoryName, digest: Digest, run: RunId): Promise<boolean>
  /** The manifest as a referrer of its subject, too. The caller removes its tags first. */
  removeManifest(name: RepositoryName, digest: Digest, run: RunId): Promise<boolean>
  /** Removes the tag and its history. */
  untag(name: RepositoryName, tag: Tag, run: RunId): Promise<boolean>
  /** Names of all repositories with links of any kind or upload sessions, in no order. */
  names(): AsyncIterable<RepositoryName>
  blobsOf(name: RepositoryName): AsyncIterable<Digest>
  manifestsOf(name: RepositoryName): AsyncIterable<Digest>
  addReferrer(name: RepositoryName, subject: Digest, digest: Digest): Promise<void>
  /** Sorted. Manifests that were not stored by Berth are missing. */
  referrers(name: RepositoryName, subject: Digest): Promise<readonly Digest[]>
  /** Newest first; what the tag pointed to when it was removed, if it was. */
  tagHistory(name: RepositoryName, tag: Tag): Promise<readonly TagVersion[]>
  /** Tags that do not exist and are in the trash, those that were removed last first. */
  removedTags(name: RepositoryName): AsyncIterable<RemovedTag>
}

export interface UploadStore {
  create(
    name: RepositoryName,
    session: { readonly writer: string; readonly algorithm: Algorithm },
  ): Promise<Upload>
  /** Also a session of an earlier process. */
  open(name: RepositoryName, id: UploadId): Promise<Upload | undefined>
  list(): AsyncIterable<UploadSummary>
  /**
   * Deletes what uploads left that a kill ended before a time, in milliseconds since the epoch, and that
   * are no sessions. Returns how many.
   */
  purge?(before: number): Promise<number>
}

/** Times in milliseconds since the epoch. */
export type UploadSummary = {
  readonly name: RepositoryName
  readonly id: UploadId
  readonly startedAt: number
  readonly lastWriteAt: number
}

/** An upload session. Calls take effect one after the other. */
export interface Upload {
  readonly id: UploadId
  /** Empty if it is unknown, as for a session of Distribution: then nobody may continue it. */
  readonly writer: string
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  /** Bytes on disk. */
  readonly size: number
  /** If it rejects, bytes of earlier calls remain. */
  append(chunks: Chunks): Promise<void>
  /** Drops the bytes after `size`. */
  truncate(size: number): Promise<void>
  /**
   * Stores the blob, once for all who upload it, and ends the session.
   * @throws RegistryError DIGEST_INVALID: the bytes have another digest. The session continues.
   */
  commit(digest: Digest): Promise<{ readonly size: number }>
  cancel(): Promise<void>
}

export type TrashRun = {
  readonly run: RunId
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly entries: number
  readonly bytes: number
}

export type TrashEntry =
  | { readonly kind: 'blob'; readonly digest: Digest; readonly size: number }
  | { readonly kind: 'layer'; readonly name: RepositoryName; readonly digest: Digest }
  | { readonly kind: 'manifest'; readonly name: RepositoryName; readonly digest: Digest }
  | {
      readonly kind: 'referrer'
      readonly name: RepositoryName
      readonly subject: Digest
      readonly digest: Digest
    }
  | { readonly kind: 'tag'; readonly name: RepositoryName; readonly tag: Tag }

export interface Trash {
  /** Newest first. */
  runs(): Promise<readonly TrashRun[]>
  /** What a run removed and nobody restored. */
  entries(run: RunId): AsyncIterable<TrashEntry>
  /** Blobs among them, without those that were stored again. */
  blobs(run: RunId): AsyncIterable<Digest>
  /** Restores what a run removed, except what exists again; a tag gets back its history. */
  undo(run: RunId): Promise<{ readonly restored: number }>
  /** When a blob was removed that is in the trash, in milliseconds since the epoch. Restores nothing. */
  removedAt(digest: Digest): Promise<number | undefined>
  /** False: the blob is neither in the trash nor stored. */
  restoreBlob(digest: Digest): Promise<boolean>
  /** Deletes runs that are older than `before`, oldest first, or one run. */
  free(
    what: { readonly before: number } | { readonly run: RunId },
  ): Promise<{ readonly bytes: number; readonly entries: number }>
}
