import type { Digest } from '../oci/digest.ts'
import type { ManifestDetails } from '../oci/manifest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'

/**
 * What has changed on the hosted volume, or what somebody did. Sizes in bytes; `at`: milliseconds
 * since the epoch.
 */
export type Change =
  | BlobStored
  | { readonly kind: 'blob-removed'; readonly digest: Digest }
  | { readonly kind: 'link' | 'unlink'; readonly name: RepositoryName; readonly digest: Digest }
  | ManifestStored
  | { readonly kind: 'manifest-removed'; readonly name: RepositoryName; readonly digest: Digest }
  | TagSet
  | { readonly kind: 'tag-removed'; readonly name: RepositoryName; readonly tag: Tag }
  | Pulled
  | Pinned
  | { readonly kind: 'unpinned'; readonly name: RepositoryName; readonly digest: Digest }

export type BlobStored = {
  readonly kind: 'blob'
  readonly digest: Digest
  readonly size: number
  readonly at: number
}

/** `by`: who pushed it. */
type ManifestStored = {
  readonly kind: 'manifest'
  readonly name: RepositoryName
  readonly digest: Digest
  readonly size: number
  readonly manifest: ManifestDetails
  readonly at: number
  readonly by?: string
}

export type TagSet = {
  readonly kind: 'tag'
  readonly name: RepositoryName
  readonly tag: Tag
  readonly digest: Digest
  readonly at: number
}

/** With `tag`, the client asked for the tag; otherwise for the digest. */
export type Pulled = {
  readonly kind: 'pulled'
  readonly name: RepositoryName
  readonly digest: Digest
  readonly tag?: Tag
  readonly at: number
}

/** A user wants to keep the image, whatever the rules of retention are. */
type Pinned = {
  readonly kind: 'pinned'
  readonly name: RepositoryName
  readonly digest: Digest
  readonly at: number
  readonly by?: string
}
