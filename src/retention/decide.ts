import type { Digest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import { findAccessories } from './accessories.ts'
import { compileRules } from './compiled-rule.ts'
import type { Image } from './image.ts'
import { createRelations, type Related, type Relations } from './relations.ts'
import type { Rule } from './rule.ts'
import { type Ruling, type RulingOptions, rulingsOf } from './rulings.ts'

/** With `tag`: about the tag. Without: about the manifest. */
export type Decision = { readonly digest: Digest; readonly tag?: Tag | undefined } & (
  | Ruling
  /** A manifest belongs to one that is kept, or is deleted with it. */
  | ({ readonly action: 'keep' | 'delete' } & Related)
)

export type DecideOptions = Omit<RulingOptions, 'rules'> & {
  readonly name: RepositoryName
  /** All manifests of the repository. */
  readonly images: readonly Image[]
  readonly rules: readonly Rule[]
}

/**
 * What the rules delete in a repository, and why the rest is kept.
 *
 * 1. An image that is in use, or that a keep rule names by any of its tags, is kept with all its tags.
 * 2. A tag is deleted when a delete rule names it; an image goes with its last tag.
 * 3. A manifest without a tag is deleted when a delete rule names it; otherwise it stays.
 * 4. What stays keeps its parts, which are not "untagged": the children of an index, the subject of a
 *    referrer, the referrers of a subject.
 * 5. What is deleted takes along its parts without a tag, unless something else keeps them.
 * 6. A tag with the digest of another image is none: its manifest is a referrer of that image (`accessories`).
 */
export function decide({ name, rules, ...options }: DecideOptions): readonly Decision[] {
  const { images, tagsOf } = findAccessories(options.images)
  const relations = createRelations(images)
  const compiled = compileRules(rules, name, images)
  const ruled = images.map((image) => ({
    image,
    rulings: rulingsOf(image, { ...options, rules: compiled }),
  }))
  const roots = ruled.filter(({ image, rulings }) => rulings.some(isRoot(image, relations)))
  const kept = relations.reachable(roots.map(({ image }) => image.digest))
  const isRootDigest = new Set(roots.map(({ image }) => image.digest))

  return ruled.flatMap(({ image: { digest, tags }, image, rulings }): readonly Decision[] => {
    const own = rulings.map((ruling) => ({ digest, ...ruling }))
    const withTags = (decision: Decision) => [
      decision,
      ...tagsOf(digest).map((tag) => ({ ...decision, tag })),
    ]
    if (isRootDigest.has(digest)) return own.flatMap(withTags)
    const related = kept.get(digest)
    const manifest: Decision =
      related === undefined
        ? { digest, ...deletionOf(own, relations.ownersOf(image)), tag: undefined }
        : { digest, action: 'keep', ...related }
    return tags.length === 0 ? withTags(manifest) : [...own, manifest]
  })
}

/** A manifest that no rule names stays, but as a part of others it depends on them. */
function isRoot(image: Image, { isPart }: Relations): (ruling: Ruling) => boolean {
  return ({ action, kind }) => action === 'keep' && !(kind === 'no-rule' && isPart(image))
}

function deletionOf(
  rulings: readonly Ruling[],
  [owner]: readonly Related[],
): Ruling | ({ readonly action: 'delete' } & Related) {
  const deleting = rulings.find(({ action }) => action === 'delete')
  if (deleting !== undefined) return deleting
  return owner === undefined ? { action: 'keep', kind: 'no-rule' } : { action: 'delete', ...owner }
}
