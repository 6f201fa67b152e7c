import type { Chunks } from '../memory/memory.ts'
import type { Content } from '../oci/content.ts'
import type { Algorithm, Digest, Digester } from '../oci/digest.ts'
import type { RegistryError } from '../oci/errors.ts'
import type { BlockChecksums } from './block-checksums.ts'
import type { Pins } from './pins.ts'

/** Reads blobs by digest. The bytes were verified, or are verified while they are read. */
export interface BlobSource {
  /**
   * Undefined: the blob is not stored, or was removed because it was corrupt. `ranged`: the reader
   * wants ranges that end before the blob does, so that holding back the end would not stop corrupt
   * bytes: the size and each piece are verified before they are returned.
   */
  open(digest: Digest, how?: { readonly ranged?: boolean }): Promise<Content | undefined>
  /**
   * Size in bytes, without reading the blob if possible. Undefined as above. A size does not mean
   * that the blob is not corrupt.
   */
  stat(digest: Digest): Promise<{ readonly size: number } | undefined>
  /** All bytes of a small blob. Undefined as above, and for a blob of more than `limit` bytes. */
  read(digest: Digest, limit: number): Promise<Buffer | undefined>
}

/** Writes a blob to the store. It ends with exactly one of `commit`, `abort` and `handOver`. */
export interface BlobWriter {
  /** Bytes written and hashed so far. Readers can read at most these. */
  readonly written: number
  /**
   * Rejects with DIGEST_INVALID when the blob exceeds its announced size, and with a system error
   * when the disk fails: then the writer is broken.
   */
  write(chunks: Chunks): Promise<void>
  /** The disk failed. The first `written` bytes are still correct. */
  isBroken(): boolean
  /**
   * Rejects with DIGEST_INVALID when digest or size is wrong. If the disk fails now, the blob is
   * not stored, but its readers get all bytes.
   */
  commit(): Promise<void>
  /** Readers fail with `error`. */
  abort(error: unknown): Promise<void>
  /**
   * Writing has stopped: readers that reach the last written byte continue with `rest`, which
   * continues the hash from there.
   */
  handOver(rest: (digester: Digester) => Content): Promise<void>
  /** A reader of the blob while it is written. `continues: false`: it fails where another one continues with `rest`. */
  read(how?: { readonly continues: boolean }): Content
}

/**
 * An upload whose bytes wait in the cache. Its client says only at the end which digest they have. It
 * ends with `commit` or `discard`.
 */
export interface CachedUpload {
  /** Bytes that are written and hashed. */
  readonly size: number
  /** Of the hash that is computed while bytes arrive. */
  readonly algorithm: Algorithm
  /** Rejects with UNAVAILABLE when there is no room (507), or the disk fails. */
  append(chunks: Chunks): Promise<void>
  /** Drops the bytes after `size`. */
  truncate(size: number): Promise<void>
  /**
   * Opens a reader of the bytes, present and future, of an upload that is to have this digest and size. It
   * gets the end of them only after `verify`.
   */
  read(expected: { readonly digest: Digest; readonly size: number }): Promise<Content>
  /**
   * Reads the file again if the digest has another algorithm. Rejects with DIGEST_INVALID, which readers
   * get as well.
   */
  verify(digest: Digest): Promise<void>
  /** Stores it as a blob, after `verify`. If the disk fails now, it is not stored. */
  commit(digest: Digest): Promise<void>
  /** Readers fail with `error`. */
  discard(error: RegistryError): Promise<void>
}

export type VerifiedFile = {
  readonly path: string
  /** Bytes. */
  readonly size: number
  readonly checksums?: BlockChecksums | undefined
}

/** A bounded store, which evicts the least recently used blobs. */
export interface BlobCache extends BlobSource {
  /**
   * Undefined: there is no room, or the disk fails; the caller must continue without the store.
   * Size in bytes, if known. Blobs are evicted only when bytes are written.
   */
  create(digest: Digest, size: number | undefined): Promise<BlobWriter | undefined>
  /** Undefined as above. */
  createUpload(algorithm: Algorithm): Promise<CachedUpload | undefined>
  /**
   * Moves a verified file into the cache. It stays where it is when there is no room, the disk fails, or it is on
   * another file system.
   */
  adopt(digest: Digest, file: VerifiedFile): Promise<void>
  /** Bytes that a blob takes on the disk, as far as it is known without looking there. */
  sizeOf(digest: Digest): number | undefined
  /** Bytes and blobs on the disk, and the limit in bytes. */
  usage(): { readonly bytes: number; readonly blobs: number; readonly limit: number }
  /**
   * Marks a blob as used that was not read here, for example because its bytes are in memory.
   * False: no such blob is known.
   */
  use(digest: Digest): boolean
  /**
   * Removes blobs that are not pinned. Running reads continue to their ends. Returns the bytes that are
   * free once these have ended.
   */
  evict(digests: readonly Digest[]): Promise<number>
  readonly pins: Pins
  /** Stores a small blob whole, if possible. */
  put(digest: Digest, bytes: Buffer): Promise<void>
  /** Nothing is stored for some seconds, because the disk failed. */
  isPaused(): boolean
  /** Why nothing can be stored at the moment, if so. */
  problem(): string | undefined
  close(): Promise<void>
}
