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
 * The danger: a tag, unlike a field, can name what names it, and two that are parts of each other would be kept by
 * nothing. So a tag with the digest of an accessory is one like all others.
 */
export function findAccessories(images: readonly Image[]): Accessories {
  const byTag = new Map(images.map(({ digest }) => [`${referrersTag(digest)}`, digest]))
  const named = ({ tags }: Image): Digest | undefined => {
    const [first, ...others] = tags.map(({ tag }) => byTag.get(tag.split('.')[0] ?? ''))
    return others.every((other) => other === first) ? first : undefined
  }
  const candidates = new Set(images.filter(named).map(({ digest }) => digest))
  const lost = new Map<Digest, readonly Tag[]>()
  const plain = images.map((image) => {
    const subject = named(image)
    if (subject === undefined || candidates.has(subject)) return image
    lost.set(
      image.digest,
      image.tags.map(({ tag }) => tag),
    )
    return { ...image, tags: [], subject }
  })
  return { images: plain, tagsOf: (digest) => lost.get(digest) ?? [] }
}
