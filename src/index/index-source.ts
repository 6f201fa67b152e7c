import type { Digest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'

/** The hosted volume as the index reads it. All lists in any order; times in milliseconds. */
export interface IndexSource {
  /** What is read at the same time, without rests. Undefined: a disk, which is read with rests, one thing after another. */
  readonly width?: number | undefined
  readonly blobs: {
    list(): AsyncIterable<SourceBlob>
    stat(digest: Digest): Promise<{ readonly size: number } | undefined>
    read(digest: Digest, limit: number): Promise<Buffer | undefined>
  }
  readonly links: {
    /** Repositories with links of any kind. */
    names(): AsyncIterable<RepositoryName>
    blobsOf(name: RepositoryName): AsyncIterable<Digest>
    manifestsOf(name: RepositoryName): AsyncIterable<Digest>
    tags(name: RepositoryName): Promise<readonly Tag[] | undefined>
    tag(
      name: RepositoryName,
      tag: Tag,
    ): Promise<{ readonly digest: Digest; readonly age: number } | undefined>
  }
  /** Rejects if it is not what was listed any more: then nothing is forgotten that was not listed. */
  readonly confirm?: (() => Promise<void>) | undefined
  /**
   * A text that differs when another program has added or removed blobs. Equal texts do not exclude
   * other changes.
   */
  fingerprint(): Promise<string>
}

/** `modified`: milliseconds since the epoch; size in bytes. */
export type SourceBlob = {
  readonly digest: Digest
  readonly size: number
  readonly modified: number
}
