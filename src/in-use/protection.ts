import type { Digest } from '../oci/digest.ts'
import { type ImageReference, parseImageReference } from '../oci/image-reference.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'

/** The digests and tags in a list of image references. */
export interface Protection {
  hasDigest(digest: Digest): boolean
  hasTag(name: RepositoryName, tag: Tag): boolean
  readonly references: readonly ImageReference[]
}

/**
 * A reference with a tag and a digest protects both: the runtime pulls the digest, but a user who
 * reads the reference expects the tag to stay.
 */
export function createProtection(texts: Iterable<string>): Protection {
  const references = [...new Set(texts)].map(parseImageReference)
  const digests = new Set(references.map(({ digest }) => digest))
  const tags = new Set(references.map(({ name, tag }) => `${name}:${tag}`))
  return {
    hasDigest: (digest) => digests.has(digest),
    hasTag: (name, tag) => tags.has(`${name}:${tag}`),
    references,
  }
}
