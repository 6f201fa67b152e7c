import type { Digest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'

/** A tag and the digest that it pointed to when it was last validated. */
export type TagLink = {
  readonly digest: Digest
  /** Milliseconds since the tag was last validated; never negative. */
  readonly age: number
}

/**
 * Which repository has which content: links to digests, by name. A link may outlive the blob that
 * it points to.
 */
export interface LinkSource {
  hasBlob(name: RepositoryName, digest: Digest): Promise<boolean>
  hasManifest(name: RepositoryName, digest: Digest): Promise<boolean>
  tag(name: RepositoryName, tag: Tag): Promise<TagLink | undefined>
  /** Sorted; undefined when the repository does not exist. */
  tags(name: RepositoryName): Promise<readonly Tag[] | undefined>
  /** Names of repositories that have a manifest, sorted. */
  repositories(): Promise<readonly RepositoryName[]>
}

export interface LinkStore extends LinkSource {
  addBlob(name: RepositoryName, digest: Digest): Promise<void>
  addManifest(name: RepositoryName, digest: Digest): Promise<void>
  /** `age`: milliseconds since an upstream has said so, in a cache. */
  setTag(name: RepositoryName, tag: Tag, digest: Digest, age?: number): Promise<void>
  removeTag(name: RepositoryName, tag: Tag): Promise<void>
}

/** What a cache knows of a repository. */
export type CachedLinks = {
  readonly tags: readonly (TagLink & { readonly tag: Tag })[]
  readonly manifests: readonly Digest[]
  readonly blobs: readonly Digest[]
}

/** Links that may be forgotten at any time: their upstream has the content. */
export interface CachedLinkStore extends LinkStore {
  /** All links of a repository, which does not count as their use; undefined as for `tags`. */
  all(name: RepositoryName): CachedLinks | undefined
  removeBlob(name: RepositoryName, digest: Digest): Promise<void>
  removeManifest(name: RepositoryName, digest: Digest): Promise<void>
}
