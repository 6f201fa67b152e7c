import type { Digest } from './digest.ts'
import type { Stamp } from './file-stamp.ts'

/**
 * The next bytes of a {@link Content}: a range of an open file up to `end` (exclusive), or the bytes
 * themselves, which stay valid until the next call of `next`.
 */
export type Piece =
  | { readonly kind: 'file'; readonly fd: number; readonly end: number; readonly rest?: Rest }
  | { readonly kind: 'bytes'; readonly bytes: Buffer }

/**
 * The bytes of the same file that follow a piece, up to `end` (exclusive). They may be sent without another call of
 * `next` if the file, after all bytes of the piece were sent, has this stamp.
 */
export type Rest = { readonly end: number; readonly stamp: Stamp }

/**
 * The bytes of one digest, read sequentially by one reader, possibly during their download. The last
 * piece is returned only after size and digest of the whole are verified. So a reader that got `size`
 * bytes got the right ones.
 */
export interface Content {
  readonly digest: Digest
  /** Total size in bytes. */
  readonly size: number
  /**
   * At least one byte at `position`, which is below `size` and never decreases. `until` (exclusive):
   * the end of the range that the reader needs. Rejects with a RegistryError if the bytes are unavailable
   * or wrong; the reader must then not look complete to its client.
   */
  next(position: number, until?: number): Piece | Promise<Piece>
  /** Ends reading. `broken`: the reader could not read the file of a piece, so the file is checked again. */
  close(broken?: boolean): void
}
