import type { Digest } from '../oci/digest.ts'

/** Where images are read from: an archive, a layout, a file, or a registry. */
export interface ImageSource {
  /** In the order of the source; at least one. */
  readonly images: readonly SourceImage[]
  /** A manifest of `images`, or one that such a manifest references. Rejects if the source lacks it. */
  manifest(digest: Digest): Promise<SourceManifest>
  /** The bytes of a config or a layer from `start` on. Throws if the source lacks it, or it is corrupt. */
  read(blob: SourceBlob, options?: ReadOptions): AsyncIterable<Buffer>
  close(): Promise<void>
}

export type SourceImage = {
  /** As the source writes them: `host/name:tag`, `name:tag`, or only a tag. */
  readonly names: readonly string[]
  /** Of its manifest or index. */
  readonly digest: Digest
}

export type SourceManifest = {
  readonly digest: Digest
  readonly mediaType: string
  /** The original bytes. */
  readonly bytes: Buffer
}

export type SourceBlob = {
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
}

export type ReadOptions = {
  /** Byte of the blob; default 0. */
  readonly start?: number | undefined
  /** The reader needs no byte from here on. A source may send more. */
  readonly end?: number | undefined
  readonly signal?: AbortSignal | undefined
}
