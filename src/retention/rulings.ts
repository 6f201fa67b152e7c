import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import { type CompiledRule, type Item, itemsOf } from './compiled-rule.ts'
import type { Image } from './image.ts'

/** What the rules say about a tag, or about a manifest without a tag, by itself. */
export type Ruling =
  | { readonly action: 'keep' | 'delete'; readonly kind: 'rule'; readonly rule: string }
  /** A workload names it. */
  | { readonly action: 'keep'; readonly kind: 'in-use' }
  /** A user wants to keep it whatever the rules are. */
  | { readonly action: 'keep'; readonly kind: 'pinned' }
  /** A client pushed it, or asked whether it exists, within the grace period. */
  | { readonly action: 'keep'; readonly kind: 'leased'; readonly rule: string }
  /** A delete rule names it later. */
  | {
      readonly action: 'keep'
      readonly kind: 'not-yet'
      readonly rule: string
      /** Milliseconds since the epoch. */
      readonly at: number
    }
  | { readonly action: 'keep'; readonly kind: 'no-rule' }

export type RulingOptions = {
  readonly rules: readonly CompiledRule[]
  /** Milliseconds since the epoch. */
  readonly now: number
  readonly inUse: (entry: { readonly tag?: Tag | undefined; readonly digest: Digest }) => boolean
  readonly isLeased: (digest: Digest) => boolean
}

/** One ruling for each tag; one for an image without tags. */
export function rulingsOf(
  image: Image,
  options: RulingOptions,
): readonly (Ruling & { readonly tag?: Tag | undefined })[] {
  const items = itemsOf(image)
  const keep = reasonToKeep(image, items, options)
  return items.map((item) => ({
    ...(keep ?? deletionOf(item, options)),
    ...(item.tag !== undefined && { tag: item.tag.tag }),
  }))
}

/** One reason suffices for all tags of an image. */
function reasonToKeep(
  { digest, pinned = false }: Image,
  items: readonly Item[],
  { rules, now, inUse }: RulingOptions,
): Ruling | undefined {
  if (items.some(({ tag }) => inUse({ tag: tag?.tag, digest })))
    return { action: 'keep', kind: 'in-use' }
  if (pinned) return { action: 'keep', kind: 'pinned' }
  const keeps = rules.filter(({ rule }) => rule.action === 'keep')
  const found = keeps.find(({ dueAt }) => items.some((item) => isDue(dueAt(item), now)))
  return found && { action: 'keep', kind: 'rule', rule: found.rule.name }
}

function deletionOf(item: Item, { rules, now, isLeased }: RulingOptions): Ruling {
  const first = firstDeletion(item, rules)
  if (first === undefined) return { action: 'keep', kind: 'no-rule' }
  const { rule, at } = first
  if (at > now) return { action: 'keep', kind: 'not-yet', rule, at }
  return isLeased(item.image.digest)
    ? { action: 'keep', kind: 'leased', rule }
    : { action: 'delete', kind: 'rule', rule }
}

/** The delete rule that names the item first. */
function firstDeletion(item: Item, rules: readonly CompiledRule[]) {
  const dates = rules
    .filter(({ rule }) => rule.action === 'delete')
    .map(({ rule, dueAt }) => ({ rule: rule.name, at: dueAt(item) }))
    .filter((date): date is { rule: string; at: number } => date.at !== undefined)
  return dates.toSorted((a, b) => a.at - b.at)[0]
}

function isDue(at: number | undefined, now: number): boolean {
  return at !== undefined && at <= now
}
