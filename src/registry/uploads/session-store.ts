import type { Chunks } from '../../memory/memory.ts'
import type { Algorithm, Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { UploadId } from '../../oci/upload-id.ts'

/** Where the bytes of upload sessions are: a hosted volume, or the cache. See UploadStore of store/. */
export interface SessionStore {
  create(
    name: RepositoryName,
    session: { readonly writer: string; readonly algorithm: Algorithm },
  ): Promise<SessionUpload>
  /** Also a session of an earlier process, if they outlive it. */
  open(name: RepositoryName, id: UploadId): Promise<SessionUpload | undefined>
  list(): AsyncIterable<{
    readonly name: RepositoryName
    readonly id: UploadId
    readonly lastWriteAt: number
  }>
  /** See UploadStore of store/. */
  purge?(before: number): Promise<number>
}

export interface SessionUpload {
  readonly id: UploadId
  readonly writer: string
  /** Bytes that are written. */
  readonly size: number
  append(chunks: Chunks): Promise<void>
  truncate(size: number): Promise<void>
  /**
   * The rest of the blob is about to arrive, with this digest and size in all if the client is right.
   * `stop`: it did not arrive.
   */
  readonly expect?: (blob: { readonly digest: Digest; readonly size: number }) => {
    readonly stop: () => Promise<void>
  }
  /** Verifies and stores the blob, and ends the session. @throws RegistryError DIGEST_INVALID */
  commit(digest: Digest): Promise<{ readonly size: number }>
  cancel(): Promise<void>
}

/** Bytes that one upload may use. */
export interface UploadReservation {
  /** The upload needs so many bytes in all. @throws RegistryError DENIED: a quota leaves no room for them. */
  growTo(bytes: number): Promise<void>
  /** The upload needs no more than so many bytes now. */
  shrinkTo(bytes: number): void
  /** The upload is over, and `stored` bytes of it are stored. */
  end(stored: number): void
}

export interface UploadQuotas {
  /** @throws RegistryError DENIED as above. */
  reserve(name: RepositoryName, bytes: number): Promise<UploadReservation>
}
