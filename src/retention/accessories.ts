import type { Digest } from '../oci/digest.ts'
import { referrersTag, type Tag } from '../oci/reference.ts'
import type { Image } from './image.ts'

type Accessories = {
  /** Without the tags that are none, and with the subject that they name. */
  readonly images: readonly Image[]
  /** The tags that an image lost. */
  tagsOf(digest: Digest): readonly Tag[]
}

/**
 * Signatures, attestations and lists of referrers that have a tag with the digest of their image: `sha256-HEX.sig` of cosign, and
 * `sha256-HEX` (distribution-spec, "Referrers Tag Schema"). Rules are about images: such a manifest is a referrer of its
 * image, whether its tag or the field `subject` says so.
 *
 * The danger: a tag, unlike a field, can name what names it, or a part of its own manifest, and manifests that are parts of
 * each other would be kept by nothing. So a tag with the digest of an accessory is one like all others, and so is one whose
 * image is a part of the tagged manifest.
 */
export function findAccessories(images: readonly Image[]): Accessories {
  const byTag = new Map(images.map(({ digest }) => [`${referrersTag(digest)}`, digest]))
  const named = ({ tags }: Image): Digest | undefined => {
    const [first, ...others] = tags.map(({ tag }) => byTag.get(tag.split('.')[0] ?? ''))
    return others.every((other) => other === first) ? first : undefined
  }
  const candidates = new Set(images.filter(named).map(({ digest }) => digest))
  const isPartOf = createOwners(images, named)
  const lost = new Map<Digest, readonly Tag[]>()
  const plain = images.map((image) => {
    const subject = named(image)
    if (subject === undefined || candidates.has(subject) || isPartOf(subject, image.digest))
      return image
    lost.set(
      image.digest,
      image.tags.map(({ tag }) => tag),
    )
    return { ...image, tags: [], subject }
  })
  return { images: plain, tagsOf: (digest) => lost.get(digest) ?? [] }
}

/** Whether a manifest is in the other one, refers to it, or is a part of such a manifest, by fields and by tags. */
function createOwners(images: readonly Image[], named: (image: Image) => Digest | undefined) {
  const owners = new Map<Digest, Set<Digest>>()
  const add = (part: Digest, owner: Digest): void => {
    owners.set(part, (owners.get(part) ?? new Set()).add(owner))
  }
  for (const image of images) {
    for (const child of image.children) add(child, image.digest)
    for (const subject of [image.subject, named(image)])
      if (subject !== undefined) add(image.digest, subject)
  }
  return (part: Digest, whole: Digest): boolean => {
    const reached = new Set([part])
    // A Set iterates over what is added meanwhile.
    for (const each of reached) for (const owner of owners.get(each) ?? []) reached.add(owner)
    return reached.has(whole)
  }
}
