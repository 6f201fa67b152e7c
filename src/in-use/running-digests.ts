import { type Digest, isDigest } from '../oci/digest.ts'
import { parseImageReference } from '../oci/image-reference.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { ImageUse } from './image-source.ts'

/** `pods`: those that run it, and lists of other clusters that name it together with the tag. */
export type RunningDigest = { readonly digest: Digest; readonly pods: number }

/** What runs under a tag, which may be several images: pods started before it moved run the earlier ones. */
export interface RunningDigests {
  /** Most pods first. */
  of(name: RepositoryName, tag: Tag): readonly RunningDigest[]
}

export function findRunningDigests(uses: Iterable<ImageUse>): RunningDigests {
  const byTag = new Map<string, Map<Digest, number>>()
  for (const { image, imageId } of uses) {
    const digest = digestIn(imageId)
    if (digest === undefined) continue
    const { name, tag } = parseImageReference(image)
    if (name === undefined || tag === undefined) continue
    const key = `${name}:${tag}`
    const digests = byTag.get(key) ?? new Map<Digest, number>()
    byTag.set(key, digests.set(digest, (digests.get(digest) ?? 0) + 1))
  }
  return {
    of: (name, tag) =>
      [...(byTag.get(`${name}:${tag}`) ?? [])]
        .map(([digest, pods]) => ({ digest, pods }))
        .toSorted((one, other) => other.pods - one.pods),
  }
}

/** Undefined for the id of an image that no registry has: it is the digest of a config, without a name. */
export function digestIn(imageId: string | undefined): Digest | undefined {
  const at = imageId?.indexOf('@') ?? -1
  const digest = at < 0 ? undefined : imageId?.slice(at + 1)
  return digest !== undefined && isDigest(digest) ? digest : undefined
}
