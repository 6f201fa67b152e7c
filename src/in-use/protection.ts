import type { Digest } from '../oci/digest.ts'
import { type ImageReference, parseImageReference } from '../oci/image-reference.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'

/** The digests and tags in a list of image references. */
export interface Protection {
  hasDigest(digest: Digest): boolean
  hasTag(name: RepositoryName, tag: Tag): boolean
  /** The references to the tag, or to one of the digests, as they are written. */
  textsOf(image: {
    readonly name: RepositoryName
    readonly tag?: Tag | undefined
    readonly digests: ReadonlySet<Digest>
  }): ReadonlySet<string>
  readonly references: readonly ImageReference[]
}

/**
 * A reference with a tag and a digest protects both: the runtime pulls the digest, but a user who
 * reads the reference expects the tag to stay.
 */
export function createProtection(texts: Iterable<string>): Protection {
  const parsed = [...new Set(texts)].map((text) => ({ text, ...parseImageReference(text) }))
  const references: readonly ImageReference[] = parsed
  const digests = new Set(references.map(({ digest }) => digest))
  const tags = new Set(references.map(({ name, tag }) => `${name}:${tag}`))
  return {
    hasDigest: (digest) => digests.has(digest),
    hasTag: (name, tag) => tags.has(`${name}:${tag}`),
    textsOf: (image) => {
      const isTagged = (each: ImageReference) =>
        image.tag !== undefined && each.name === image.name && each.tag === image.tag
      const isMeant = (each: ImageReference) =>
        (each.digest !== undefined && image.digests.has(each.digest)) || isTagged(each)
      return new Set(parsed.filter(isMeant).map(({ text }) => text))
    },
    references,
  }
}
