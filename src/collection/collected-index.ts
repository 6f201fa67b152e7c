import type { Digest } from '../oci/digest.ts'
import type { ManifestDetails } from '../oci/manifest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Image } from '../retention/retention.ts'

/** A change of the disk. Times in milliseconds since the epoch, sizes in bytes. */
type Change =
  | {
      readonly kind: 'blob'
      readonly digest: Digest
      readonly size: number
      readonly at: number
    }
  | { readonly kind: 'blob-removed'; readonly digest: Digest }
  | { readonly kind: 'link' | 'unlink'; readonly name: RepositoryName; readonly digest: Digest }
  | {
      readonly kind: 'manifest'
      readonly name: RepositoryName
      readonly digest: Digest
      readonly size: number
      readonly manifest: ManifestDetails
      readonly at: number
    }
  | {
      readonly kind: 'tag'
      readonly name: RepositoryName
      readonly tag: Tag
      readonly digest: Digest
      readonly at: number
    }

/** Size in bytes. */
export type UnreferencedBlob = { readonly digest: Digest; readonly size: number }

export type BlobLink = { readonly name: RepositoryName; readonly digest: Digest }

/** What the collector asks the index. All questions reject while it is not usable. */
export interface CollectedIndex {
  /** Why it is incomplete; undefined: it is complete. */
  problem(): string | undefined
  /** Why it was not compared with the whole volume since the start; undefined: it was. */
  unverified(): string | undefined
  apply(changes: readonly Change[]): void
  /** Compares it with the whole store. */
  verify(): Promise<void>
  /** In any repository; not as a subject. */
  referencedBy(
    digest: Digest,
  ): Promise<readonly { readonly name: RepositoryName; readonly manifest: Digest }[]>
  linkedIn(digest: Digest): Promise<readonly RepositoryName[]>
  /** Blobs that are no manifest and that no manifest references, after a digest, sorted by it. */
  unreferenced(after: Digest | undefined, limit: number): Promise<readonly UnreferencedBlob[]>
  /** Links to blobs that no manifest of the same repository references, after a link, sorted. */
  unreferencedLinks(after: BlobLink | undefined, limit: number): Promise<readonly BlobLink[]>
  images(name: RepositoryName): Promise<readonly Image[]>
  totals(): Promise<{
    readonly blobs: number
    readonly bytes: number
    readonly manifests: number
  }>
}
