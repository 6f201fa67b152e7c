import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import { findAccessories } from './accessories.ts'
import { compileRules, itemsOf } from './compiled-rule.ts'
import { type DecideOptions, type Decision, decide } from './decide.ts'
import type { Rule } from './rule.ts'

/** What one rule says about a tag. */
type RuleAnswer = {
  readonly rule: string
  readonly action: Rule['action']
  /** From when on the rule names the tag, in milliseconds since the epoch; undefined: never. */
  readonly at?: number | undefined
}

export type Explanation = {
  /** What happens to the tag now, and why. */
  readonly decision: Decision
  /** All rules that apply to the repository, in the order of the configuration. */
  readonly rules: readonly RuleAnswer[]
}

/** A tag, or the manifest of a digest. */
export type Explained = { readonly tag: Tag } | { readonly digest: Digest }

/** Undefined: the repository does not have the tag, or the manifest. */
export function explain(
  options: DecideOptions & { readonly of: Explained },
): Explanation | undefined {
  const { name, images, rules, of } = options
  const isMeant = (digest: Digest, tag: Tag | undefined) =>
    'tag' in of ? of.tag === tag : of.digest === digest
  const decision = decide(options).find(({ digest, tag }) => isMeant(digest, tag))
  const item = images.flatMap(itemsOf).find(({ image, tag }) => isMeant(image.digest, tag?.tag))
  if (decision === undefined || item === undefined) return undefined
  const accessories = findAccessories(images)
  const isRuled =
    item.tag === undefined || !accessories.tagsOf(decision.digest).includes(item.tag.tag)
  return {
    decision,
    rules: compileRules(rules, name, accessories.images).map(({ rule, dueAt }) => ({
      rule: rule.name,
      action: rule.action,
      at: isRuled ? dueAt(item) : undefined,
    })),
  }
}
