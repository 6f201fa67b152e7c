import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { parseReference, parseRepositoryName, type Tag } from '../../src/oci/reference.ts'
import { type Decision, decide, type Image, type Rule } from '../../src/retention/retention.ts'

export const day = 86_400_000
export const now = 1000 * day
export const name = parseRepositoryName('local/app')

export function digest(seed: string): Digest {
  return digestOf(Buffer.from(seed))
}

export function tagOf(text: string): Tag {
  const reference = parseReference(text)
  if (!('tag' in reference)) throw new Error(`not a tag: ${text}`)
  return reference.tag
}

type ImageInput = {
  /** Days since the push of each tag. */
  readonly tags?: Readonly<Record<string, number>>
  /** Days since the push of the manifest. */
  readonly age?: number
  /** Days since the last pull by digest. */
  readonly pulled?: number
  /** Days since the last pull of any tag. */
  readonly tagPulled?: number
  readonly children?: readonly string[]
  readonly subject?: string
  readonly expiresAfter?: string
}

export function image(seed: string, input: ImageInput = {}): Image {
  const { tags = {}, age = 0, pulled, tagPulled, children = [], subject, expiresAfter } = input
  return {
    digest: digest(seed),
    tags: Object.entries(tags).map(([tag, days]) => ({
      tag: tagOf(tag),
      at: now - days * day,
      pulledAt: tagPulled === undefined ? undefined : now - tagPulled * day,
    })),
    pushedAt: now - age * day,
    pulledAt: pulled === undefined ? undefined : now - pulled * day,
    children: children.map(digest),
    subject: subject === undefined ? undefined : digest(subject),
    expiresAfter,
  }
}

type Input = {
  readonly images: readonly Image[]
  readonly rules: readonly Rule[]
  readonly inUse?: readonly string[]
  readonly leased?: readonly string[]
}

export function decisionsOf({ images, rules, inUse = [], leased = [] }: Input) {
  return decide({
    name,
    images,
    rules,
    now,
    inUse: ({ tag, digest: each }) => inUse.some((text) => text === tag || digest(text) === each),
    isLeased: (each) => leased.some((text) => digest(text) === each),
  })
}

/** Tags and seeds of manifests that are deleted, sorted. */
export function deleted(input: Input, seeds: readonly string[] = []): readonly string[] {
  return decisionsOf(input)
    .filter(({ action }) => action === 'delete')
    .map(({ tag, digest: each }) => tag ?? seedOf(each, seeds))
    .toSorted()
}

/** The reason for a tag, or for the manifest of a seed. */
export function reasonFor(
  input: Input,
  what: string,
): Omit<Decision, 'digest' | 'tag'> | undefined {
  const found = decisionsOf(input).find((decision) =>
    decision.tag === undefined ? decision.digest === digest(what) : decision.tag === what,
  )
  if (found === undefined) return undefined
  const { digest: _, tag: __, ...reason } = found
  return reason
}

function seedOf(each: Digest, seeds: readonly string[]): string {
  return seeds.find((seed) => digest(seed) === each) ?? each
}
