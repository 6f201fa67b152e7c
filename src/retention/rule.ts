/**
 * All conditions of a rule apply together. A rule with neither `tags` nor `untagged` is about all
 * images; one with both is about images with such a tag, and about images without a tag.
 */
export type Rule = {
  readonly name: string
  /** A keep rule wins over every delete rule. */
  readonly action: 'delete' | 'keep'
  /** Globs of repository names. */
  readonly repositories: readonly string[]
  readonly except?: readonly string[] | undefined
  /** Globs of tags. */
  readonly tags?: readonly string[] | undefined
  readonly untagged?: boolean | undefined
  /** Milliseconds since the tag, or the image without a tag, was pushed. */
  readonly olderThan?: number | undefined
  /** Milliseconds since the last pull, or since the push if there was no pull. */
  readonly notPulledFor?: number | undefined
  /**
   * The image is among this many that were pushed last, of those that the rule is about; parts of
   * others, such as the children of an index, do not count.
   */
  readonly newest?: number | undefined
  /** Instead of the times above: the image's own `quay.expires-after`. */
  readonly expiry?: 'quay' | undefined
}

/** Deletes tags as the label or annotation `quay.expires-after` of their images says. */
export const quayRule: Rule = {
  name: 'quay.expires-after',
  action: 'delete',
  repositories: ['**'],
  tags: ['**'],
  expiry: 'quay',
}
