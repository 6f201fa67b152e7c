import type { Digest } from './digest.ts'

/**
 * The next bytes of a {@link Content}: a stretch of an open file up to `end` (exclusive), or the
 * bytes themselves, which stay as they are until the next piece is asked for.
 */
export type Piece =
  | { readonly kind: 'file'; readonly fd: number; readonly end: number }
  | { readonly kind: 'bytes'; readonly bytes: Buffer }

/**
 * The bytes of one digest, read forward by one reader. They may still be arriving: a stretch is
 * handed out as soon as it may be sent, and the last one only when the whole has the right size and
 * digest. So a reader that got `size` bytes got the right ones, whatever happened on the way.
 */
export interface Content {
  readonly digest: Digest
  /** Bytes in all. */
  readonly size: number
  /**
   * What follows `position` (below `size`, never going back), at least one byte of it. Rejects with
   * a RegistryError when the bytes cannot be had or are wrong: the reader must not look complete to
   * its client. A reader that wants no more than the bytes up to `until` (exclusive) says so.
   */
  next(position: number, until?: number): Piece | Promise<Piece>
  /**
   * The reader is done, or gone; `broken` when it could not read where it was pointed to, so that
   * the file is looked at again.
   */
  close(broken?: boolean): void
}
