import type { Tag } from '../oci/reference.ts'
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

/** Undefined: the repository does not have the tag. */
export function explain(options: DecideOptions & { readonly tag: Tag }): Explanation | undefined {
  const { name, images, rules, tag } = options
  const decision = decide(options).find((each) => each.tag === tag)
  const item = images.flatMap(itemsOf).find((each) => each.tag?.tag === tag)
  if (decision === undefined || item === undefined) return undefined
  return {
    decision,
    rules: compileRules(rules, name, images).map(({ rule, dueAt }) => ({
      rule: rule.name,
      action: rule.action,
      at: dueAt(item),
    })),
  }
}
