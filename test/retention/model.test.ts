import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Digest } from '../../src/oci/digest.ts'
import type { Image, Rule } from '../../src/retention/retention.ts'
import { day, decisionsOf, digest, image, now } from './images.ts'

const seeds = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] as const
const tagNames = ['v1', 'v2', 'pr-1', 'pr-2', 'latest'] as const
const days = fc.integer({ min: 0, max: 60 })

/** Manifests refer only to earlier ones: a digest cannot be in a manifest that it is a digest of. */
const repository = fc
  .array(
    fc.record(
      {
        tags: fc.uniqueArray(fc.constantFrom(...tagNames), { maxLength: 2 }),
        tagAges: fc.tuple(days, days),
        age: days,
        pulled: days,
        tagPulled: days,
        children: fc.uniqueArray(fc.nat(7), { maxLength: 3 }),
        subject: fc.nat(7),
      },
      { requiredKeys: ['tags', 'tagAges', 'age', 'children'] },
    ),
    { maxLength: seeds.length },
  )
  .map((inputs) => {
    const taken = new Set<string>()
    return inputs.map(({ tags, tagAges, children, subject, ...rest }, at): Image => {
      const own = tags.filter((tag) => !taken.has(tag))
      for (const tag of own) taken.add(tag)
      const earlier = (index: number) => (index < at ? seeds[index] : undefined)
      const to = subject === undefined ? undefined : earlier(subject)
      return image(seeds[at] ?? '', {
        ...rest,
        tags: Object.fromEntries(own.map((tag, index) => [tag, tagAges[index] ?? 0])),
        children: children.map(earlier).filter((seed) => seed !== undefined),
        ...(to !== undefined && { subject: to }),
      })
    })
  })

const rule = fc.record(
  {
    name: fc.constantFrom('one', 'two'),
    action: fc.constantFrom('keep', 'delete'),
    tags: fc.constantFrom(['v*'], ['pr-*'], ['latest', 'v1'], ['**']),
    untagged: fc.boolean(),
    olderThan: days.map((count) => count * day),
    notPulledFor: days.map((count) => count * day),
  },
  { requiredKeys: ['name', 'action'] },
)

const rules = fc.array(
  fc.tuple(rule, fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined })).map(
    ([fields, newest]): Rule => ({
      ...fields,
      repositories: ['**'],
      ...(fields.action === 'keep' && { newest }),
    }),
  ),
  { maxLength: 4 },
)

const input = fc.record({
  images: repository,
  rules,
  inUse: fc.subarray([...seeds, ...tagNames], { maxLength: 2 }),
  leased: fc.subarray([...seeds], { maxLength: 2 }),
})
type Input = typeof input extends fc.Arbitrary<infer Value> ? Value : never

/** The definition, without regard to its cost: a word about every tag and manifest. */
function naive({ images, rules: given, inUse, leased }: Input) {
  const isPart = (each: Image) => each.tags.length === 0 && ownersOf(each).length > 0
  const ownersOf = (each: Image) =>
    images.filter((other) => other.children.includes(each.digest) || other.digest === each.subject)
  const about = (each: Rule, tag: string | undefined) => {
    if (each.tags === undefined && each.untagged !== true) return true
    return tag === undefined ? each.untagged === true : matches(each.tags ?? [], tag)
  }
  const pushes = (each: Image, of: Rule) =>
    each.tags.length === 0
      ? [each.pushedAt].filter(() => about(of, undefined))
      : each.tags.filter(({ tag }) => about(of, tag)).map(({ at }) => at)
  const names = (of: Rule, each: Image, tag?: Image['tags'][number]) => {
    if (!about(of, tag?.tag)) return false
    const pushed = tag?.at ?? each.pushedAt
    const pulls = [pushed, each.pulledAt ?? pushed, tag?.pulledAt ?? pushed]
    if (now - pushed < (of.olderThan ?? 0)) return false
    if (pulls.some((at) => now - at < (of.notPulledFor ?? 0))) return false
    const isNoted = of.action === 'delete' && tag === undefined && each.pulledAt !== undefined
    if (isNoted && now - (each.pulledAt ?? 0) < (of.notPulledFor ?? 30 * day)) return false
    if (of.newest === undefined) return true
    const rivals = images.filter((other) => !isPart(other) && pushes(other, of).length > 0)
    const newer = rivals.filter((other) => {
      const [mine, theirs] = [Math.max(...pushes(each, of)), Math.max(...pushes(other, of))]
      return theirs > mine || (theirs === mine && other.digest < each.digest)
    })
    return !isPart(each) && newer.length < of.newest
  }
  const items = (each: Image) => (each.tags.length === 0 ? [undefined] : each.tags)
  const isKept = (each: Image) =>
    items(each).some(
      (tag) =>
        inUse.some((text) => text === tag?.tag || digest(text) === each.digest) ||
        given.some((of) => of.action === 'keep' && names(of, each, tag)),
    )
  const isLeased = (each: Image) => leased.some((seed) => digest(seed) === each.digest)
  const isNamed = (each: Image, tag?: Image['tags'][number]) =>
    given.some((of) => of.action === 'delete' && names(of, each, tag)) &&
    !isKept(each) &&
    !isLeased(each)
  const namedSometime = (each: Image) =>
    given.some((of) => of.action === 'delete' && about(of, undefined))
      ? each.tags.length === 0
      : false

  const tags = images.flatMap((each) =>
    each.tags.filter((tag) => isNamed(each, tag)).map(({ tag }) => tag as string),
  )
  /** Stays by itself. */
  const stays = (each: Image) => {
    if (each.tags.length > 0) return each.tags.some((tag) => !isNamed(each, tag))
    if (isNamed(each)) return false
    return isKept(each) || namedSometime(each) || !isPart(each)
  }
  const kept = new Set(images.filter(stays).map((each) => each.digest))
  for (let before = -1; before < kept.size; ) {
    before = kept.size
    for (const each of images)
      if (
        images.some(
          (other) =>
            kept.has(other.digest) &&
            (other.children.includes(each.digest) ||
              other.subject === each.digest ||
              each.subject === other.digest),
        )
      )
        kept.add(each.digest)
  }
  return {
    tags: tags.toSorted(),
    manifests: images
      .map((each) => each.digest)
      .filter((each) => !kept.has(each))
      .toSorted(),
  }
}

function matches(globs: readonly string[], tag: string): boolean {
  return globs.some((glob) =>
    glob === '**' || glob === tag ? true : glob.endsWith('*') && tag.startsWith(glob.slice(0, -1)),
  )
}

test('decisions are those of the definition, and a kept manifest has its parts (H134)', () => {
  fc.assert(
    fc.property(input, (given) => {
      const decisions = decisionsOf(given)
      const gone = decisions.filter(({ action }) => action === 'delete')
      const manifests = gone.filter(({ tag }) => tag === undefined).map((each) => each.digest)
      assert.deepEqual(
        {
          tags: gone.flatMap(({ tag }) => tag ?? []).toSorted(),
          manifests: manifests.toSorted(),
        },
        naive(given),
      )
      const lost = new Set<Digest>(manifests)
      for (const each of given.images.filter((other) => !lost.has(other.digest)))
        for (const child of each.children) assert.ok(!lost.has(child))
    }),
    { numRuns: 3000 },
  )
})

test('each tag and each manifest without a tag gets exactly one decision', () => {
  fc.assert(
    fc.property(input, (given) => {
      const decisions = decisionsOf(given)
      const keys = decisions.map(({ tag, digest: each }) => tag ?? each)
      assert.equal(new Set(keys).size, keys.length)
      for (const { tags, digest: each } of given.images) {
        if (tags.length === 0) assert.ok(keys.includes(each))
        for (const { tag } of tags) assert.ok(keys.includes(tag))
      }
    }),
  )
})
