import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { createCachedInventory } from './cached-inventory.ts'
import { countUsage } from './cached-usage.ts'
import type { Inventory, Listed, RepositoryFacts, Usage } from './inventory.ts'

type Hosted = Pick<Inventory, 'of' | 'problem' | 'describe'> & {
  list(): Promise<readonly Listed[]>
  usage(parts: Parameters<Inventory['usage']>[1]): Promise<Usage>
}

type Cached = ReturnType<typeof createCachedInventory> & {
  /** The name below the upstream's prefix; undefined: it is not this upstream's. */
  readonly nameBelow: (name: RepositoryName) => RepositoryName | undefined
}

type Options = {
  readonly hosted: Hosted
  readonly cached: readonly Cached[]
  /** Of a blob in the cache, which all upstreams share. */
  readonly sizeOf: (digest: Digest) => number | undefined
  readonly downloads: Inventory['downloads']
}

/** The inventory of the whole registry: each name belongs to one of its parts. */
export function joinInventories({ hosted, cached, sizeOf, downloads }: Options): Inventory {
  const owner = (name: RepositoryName) => {
    for (const each of cached) {
      const below = each.nameBelow(name)
      if (below !== undefined) return { below, ...each }
    }
    return undefined
  }
  const digestsOf = (name: RepositoryName): readonly Digest[] => {
    const found = owner(name)
    return found === undefined ? [] : found.digestsOf(found.below)
  }
  function* digestsOfParts(parts: Parameters<Inventory['usage']>[1]) {
    for (const [name, part] of parts) yield [part, digestsOf(name)] as const
  }

  return {
    list: async ({ prefix, search }) => {
      const lists = await Promise.all([hosted, ...cached].map(({ list }) => list()))
      const text = search.toLowerCase()
      const byName = new Map(lists.flat().map((one) => [one.name, one]))
      return [...byName.values()]
        .filter(({ name }) => isBelow(prefix, name) && name.includes(text))
        .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    },
    describe: async (listed) => {
      const own = listed.filter(({ kind }) => kind === 'hosted')
      const facts = own.length === 0 ? [] : await hosted.describe(own)
      const byName = new Map<string, RepositoryFacts>(facts.map((one) => [one.name, one]))
      return listed.map((one) => {
        const found = one.kind === 'hosted' ? undefined : owner(one.name)
        return (
          found?.describe(found.below, one) ??
          byName.get(one.name) ?? { ...one, tags: 0, manifests: 0 }
        )
      })
    },
    usage: (kind, parts) =>
      kind === 'hosted'
        ? hosted.usage(parts)
        : countUsage({ parts: digestsOfParts(parts), sizeOf }),
    of: (name) => {
      const found = owner(name)
      return found === undefined ? hosted.of(name) : found.of(found.below, digestsOf)
    },
    downloads,
    problem: hosted.problem,
  }
}

function isBelow(prefix: string, name: string): boolean {
  return prefix === '' || name === prefix || name.startsWith(`${prefix}/`)
}
