import { createMatcher } from '../oci/globs.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Image, ImageTag } from './image.ts'
import { expiryOf } from './quay-expiry.ts'
import { createRelations } from './relations.ts'
import type { Rule } from './rule.ts'

/** What a rule can name: a tag of an image, or an image without a tag. */
export type Item = { readonly image: Image; readonly tag?: ImageTag | undefined }

/** A rule for one repository. */
export type CompiledRule = {
  readonly rule: Rule
  /** From when on the rule names the item, in milliseconds since the epoch; undefined: never. */
  dueAt(item: Item): number | undefined
}

/**
 * An image without a tag that was pulled by its digest is kept this long after the pull, unless the
 * rule says how long: somebody has noted the digest.
 */
const defaultPulledFor = 30 * 86_400_000

/** The rules that apply to a repository. */
export function compileRules(
  rules: readonly Rule[],
  name: RepositoryName,
  images: readonly Image[],
): readonly CompiledRule[] {
  return rules
    .filter(({ repositories, except }) => createMatcher({ include: repositories, except })(name))
    .map((rule) => compile(rule, images))
}

export function itemsOf(image: Image): readonly Item[] {
  return image.tags.length === 0 ? [{ image }] : image.tags.map((tag) => ({ image, tag }))
}

function compile(rule: Rule, images: readonly Image[]): CompiledRule {
  const names = selector(rule)
  const isNewest = newestOf(rule, names, images)
  return {
    rule,
    dueAt: (item) => (names(item) && isNewest(item.image) ? timeOf(rule, item) : undefined),
  }
}

function selector({ tags = [], untagged = false }: Rule): (item: Item) => boolean {
  if (tags.length === 0 && !untagged) return () => true
  const matches = createMatcher({ include: tags })
  return ({ tag }) => (tag === undefined ? untagged : matches(tag.tag))
}

function timeOf(rule: Rule, item: Item): number | undefined {
  const pushed = pushedAt(item)
  if (rule.expiry === 'quay') {
    const expiry = expiryOf(item.image.expiresAfter)
    return expiry && pushed + expiry
  }
  return Math.max(
    pushed + (rule.olderThan ?? 0),
    Math.max(pushed, lastPull(item)) + (rule.notPulledFor ?? 0),
    pulledUntil(rule, item),
  )
}

/** For an image without a tag that a delete rule names. */
function pulledUntil({ action, notPulledFor }: Rule, { image, tag }: Item): number {
  if (action === 'keep' || tag !== undefined || image.pulledAt === undefined) return 0
  return image.pulledAt + (notPulledFor ?? defaultPulledFor)
}

/** Runtimes look up the tag, and then pull the digest: a pull of the digest counts for all its tags. */
function lastPull({ image, tag }: Item): number {
  return Math.max(image.pulledAt ?? 0, tag?.pulledAt ?? 0)
}

function pushedAt({ image, tag }: Item): number {
  return tag?.at ?? image.pushedAt
}

function newestOf(
  { newest }: Rule,
  names: (item: Item) => boolean,
  images: readonly Image[],
): (image: Image) => boolean {
  if (newest === undefined) return () => true
  const { isPart } = createRelations(images)
  const ranked = images
    .filter((image) => !isPart(image))
    .map((image) => ({ image, pushed: itemsOf(image).filter(names).map(pushedAt) }))
    .filter(({ pushed }) => pushed.length > 0)
    .map(({ image, pushed }) => ({ image, at: pushed.reduce((a, b) => Math.max(a, b)) }))
    .toSorted((a, b) => b.at - a.at || (a.image.digest < b.image.digest ? -1 : 1))
  const kept = new Set(ranked.slice(0, newest).map(({ image }) => image.digest))
  return ({ digest }) => kept.has(digest)
}
