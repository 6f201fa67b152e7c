import type { Digest } from '../../oci/digest.ts'

/** The bytes of a layer or a config, in any order: a stored blob, or range requests. */
export interface LayerBlob extends BlobDescription {
  /** The bytes from `start` to `end` (exclusive), in chunks of any size. They are verified by the reader. */
  read(range: ByteRange): AsyncIterable<Uint8Array>
}

/** What the descriptor in the manifest says. */
export type BlobDescription = {
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  readonly mediaType: string
  readonly annotations: Readonly<Record<string, string>>
}

export type ByteRange = {
  readonly start: number
  readonly end: number
  readonly signal?: AbortSignal | undefined
}
