import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'

/** A tag of an image. Times are milliseconds since the epoch. */
export type ImageTag = {
  readonly tag: Tag
  /** When the tag was pushed. */
  readonly at: number
  /** When the image was last pulled by this tag; undefined: never. */
  readonly pulledAt?: number | undefined
}

/** What retention needs to know about a manifest of a repository. */
export type Image = {
  readonly digest: Digest
  readonly tags: readonly ImageTag[]
  /** The manifest that this one refers to, such as the image of a signature. */
  readonly subject?: Digest | undefined
  /** Manifests that this index contains. */
  readonly children: readonly Digest[]
  readonly pushedAt: number
  /** When the manifest was last pulled by its digest; undefined: never. */
  readonly pulledAt?: number | undefined
  /** A user wants to keep it whatever the rules are. */
  readonly pinned?: boolean | undefined
  /** The value of `quay.expires-after`. */
  readonly expiresAfter?: string | undefined
}
