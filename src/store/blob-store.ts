import type { Chunks } from '../memory/memory.ts'
import type { Content } from '../oci/content.ts'
import type { Digest, Digester } from '../oci/digest.ts'

/**
 * Bytes by digest, read. What is handed out was verified, or is being verified while it is read.
 */
export interface BlobSource {
  /**
   * Undefined: not here, or not any more because its bytes were corrupt. `ranged`: the reader wants
   * parts that end before the blob does, so that no held-back end would stop wrong ones: its size and
   * each piece are proved before they are handed out.
   */
  open(digest: Digest, how?: { readonly ranged?: boolean }): Promise<Content | undefined>
  /**
   * Size in bytes, without reading the blob if that can be avoided. Undefined as above; that it is
   * here does not mean that it will be found right.
   */
  stat(digest: Digest): Promise<{ readonly size: number } | undefined>
  /** All of a small blob. Undefined as above, and for one of more than `limit` bytes. */
  read(digest: Digest, limit: number): Promise<Buffer | undefined>
}

/**
 * A blob on its way into the store. It ends with exactly one of `commit`, `abort` and `handOver`.
 */
export interface BlobWriter {
  /** Bytes written and hashed so far; no more of them than those can be read. */
  readonly written: number
  /**
   * Rejects with DIGEST_INVALID when the blob gets longer than it was said to be, and with a system
   * error when the disk fails: then it is broken.
   */
  write(chunks: Chunks): Promise<void>
  /** The disk took no more; the bytes up to `written` are right, as far as they go. */
  isBroken(): boolean
  /**
   * Rejects with DIGEST_INVALID when digest or size is wrong. A disk that fails now costs the blob
   * its place, not its readers.
   */
  commit(): Promise<void>
  /** Readers get `error`. */
  abort(error: unknown): Promise<void>
  /**
   * No more can be written: readers that come to the end of it go on with `rest`, which hashes on
   * from there.
   */
  handOver(rest: (digester: Digester) => Content): Promise<void>
  /** A reader of the blob while it grows. */
  read(): Content
}

/** A bounded store, which forgets what was not used for longest. */
export interface BlobCache extends BlobSource {
  /**
   * Undefined: no room, or the disk does not work; the bytes have to go without. Size in bytes, if
   * known. Nothing is evicted before bytes are written.
   */
  create(digest: Digest, size: number | undefined): Promise<BlobWriter | undefined>
  /**
   * A blob was used without being read here, as when its bytes are in memory. False: it is not
   * there, as far as is known.
   */
  use(digest: Digest): boolean
  /** Stores a small blob whole, if it can be stored at all. */
  put(digest: Digest, bytes: Buffer): Promise<void>
  /** Why nothing can be stored at the moment, if so. */
  trouble(): string | undefined
  close(): Promise<void>
}
