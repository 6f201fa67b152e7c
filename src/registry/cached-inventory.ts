import type { CacheMemory } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { isImageConfig } from '../oci/image-config.ts'
import { formatPlatform, maxManifestSize, parseManifestDetails } from '../oci/manifest.ts'
import { naturalKey } from '../oci/natural-order.ts'
import { joinName, type RepositoryName } from '../oci/reference.ts'
import type { BlobCache, CachedLinkStore } from '../store/store.ts'
import { countUsage } from './cached-usage.ts'
import type {
  Listed,
  RepositoryFacts,
  RepositoryInventory,
  TagFacts,
  TaggedUsage,
  TagsFound,
  TagsPart,
} from './inventory.ts'
import type { RecentPulls } from './recent-pulls.ts'

/** Bytes of a config that is read for its platform. */
const maxConfig = 1024 * 1024
/** Manifests that are read at the same time. */
const width = 16

type Options = {
  readonly upstream: string
  readonly prefix: string
  readonly links: CachedLinkStore
  readonly cache: BlobCache
  readonly caches: CacheMemory
  readonly pulls: RecentPulls
}

/** What a manifest says, which never changes; without what is stored. */
type Said = Pick<TagFacts, 'mediaType' | 'artifactType' | 'size' | 'platforms'> & {
  readonly isIndex: boolean
  readonly references: readonly Digest[]
}

/** What the cache of one upstream has. Names of the methods are complete; links are below the prefix. */
export function createCachedInventory(options: Options) {
  const { upstream, prefix, links, cache, caches, pulls } = options
  const said = caches.create<Said>({
    size: ({ references }) => 500 + references.length * 100,
    ignoreFetchAbort: true,
    fetchMethod: (digest) => readManifest(cache, digest as Digest),
  })

  const describeOne = (below: RepositoryName, listed: Listed): RepositoryFacts => {
    const { tags = [], manifests = [], blobs = [] } = links.all(below) ?? {}
    const sizes = [...manifests, ...blobs].map((digest) => cache.sizeOf(digest) ?? 0)
    const ages = tags.map(({ age }) => age)
    return {
      ...listed,
      tags: tags.length,
      manifests: manifests.length,
      size: sizes.reduce((sum, size) => sum + size, 0),
      checkedAt: ages.length === 0 ? undefined : Date.now() - ages.reduce((a, b) => Math.min(a, b)),
      pulledAt: pulls.ofRepository(below),
    }
  }

  const storedPart = ({ isIndex, references }: Said): TagFacts['stored'] => {
    const count = references.filter((digest) => cache.sizeOf(digest) !== undefined).length
    // Nobody pulls all platforms of an index.
    if (isIndex) return count === 0 ? 'none' : 'part'
    if (count === references.length) return 'all'
    return count === 0 ? 'none' : 'part'
  }

  /** An index is stored as a whole if one of its platforms is. */
  const storedOf = async (found: Said): Promise<TagFacts['stored']> => {
    if (!found.isIndex) return storedPart(found)
    const children = found.references.filter((digest) => cache.sizeOf(digest) !== undefined)
    const parts = await inPages(children, async (digest) => {
      const child = await said.fetch(digest)
      return child === undefined ? 'none' : storedPart(child)
    })
    if (parts.includes('all')) return 'all'
    return parts.length === 0 ? 'none' : 'part'
  }

  const describeTag = async (
    below: RepositoryName,
    { tag, digest, age }: CachedTag,
  ): Promise<TagFacts> => {
    const found = cache.sizeOf(digest) === undefined ? undefined : await said.fetch(digest)
    const { mediaType, artifactType, size, platforms = [] } = found ?? {}
    return {
      tag,
      digest,
      mediaType,
      artifactType,
      size,
      platforms,
      checkedAt: Date.now() - age,
      pulledAt: pulls.ofTag(below, tag),
      stored: found === undefined ? 'none' : await storedOf(found),
      pinned: isPinned(below, digest),
    }
  }

  const isPinned = (below: RepositoryName, digest: Digest): boolean =>
    cache.pins.find(joinName(prefix, below), digest) !== undefined

  const tagsOf = async (below: RepositoryName, part: TagsPart): Promise<TagsFound | undefined> => {
    const all = links.all(below)?.tags
    if (all === undefined) return undefined
    const text = part.search.toLowerCase()
    const matching = all.filter(({ tag }) => tag.toLowerCase().includes(text))
    const sizes = new Map<Digest, number>()
    if (part.order === 'size')
      await inPages(matching, async ({ digest }) => {
        sizes.set(digest, (await said.fetch(digest))?.size ?? 0)
      })
    const sorted = sortTags(matching, part, sizes)
    const page = sorted.slice(part.offset, part.offset + part.limit)
    const tags = await inPages(page, (tag) => describeTag(below, tag))
    return { total: matching.length, tags }
  }

  const parentsOf = async (
    manifests: readonly Digest[],
    digest: Digest,
  ): Promise<readonly Digest[]> => {
    const found = await inPages(manifests, async (candidate) => {
      const one = cache.sizeOf(candidate) === undefined ? undefined : await said.fetch(candidate)
      return one?.isIndex && one.references.includes(digest) ? candidate : undefined
    })
    return found.filter((one) => one !== undefined)
  }

  const digestsOf = (below: RepositoryName): readonly Digest[] => {
    const { manifests = [], blobs = [] } = links.all(below) ?? {}
    return [...manifests, ...blobs].filter((digest) => cache.sizeOf(digest) !== undefined)
  }

  /** A manifest and what it references; of an index, with its children. */
  const closureOf = async (root: Digest): Promise<ReadonlySet<Digest>> => {
    const all = new Set([root])
    const manifests = new Set([root])
    for (const digest of manifests) {
      const found = cache.sizeOf(digest) === undefined ? undefined : await said.fetch(digest)
      for (const reference of found?.references ?? []) {
        all.add(reference)
        if (found?.isIndex) manifests.add(reference)
      }
    }
    return all
  }

  const usage = async (
    below: RepositoryName,
    elsewhere: readonly (readonly Digest[])[],
  ): Promise<TaggedUsage> => {
    const stored = new Set(digestsOf(below))
    const tags = Map.groupBy(links.all(below)?.tags ?? [], ({ digest }) => digest)
    const tagged = await inPages([...tags.keys()], async (digest) => {
      return [digest, [...(await closureOf(digest))].filter((each) => stored.has(each))] as const
    })
    const reached = new Set(tagged.flatMap(([, digests]) => digests))
    const untagged = [...stored].filter((digest) => !reached.has(digest))
    const { parts, ...sums } = await countUsage({
      parts: [
        ...tagged,
        ...(untagged.length === 0 ? [] : [['untagged', untagged] as const]),
        ...elsewhere.map((digests) => ['', digests] as const),
      ],
      sizeOf: cache.sizeOf,
    })
    return {
      ...sums,
      parts: parts.map(({ part, ...bytes }) => {
        const found = tags.get(part as Digest)
        return {
          ...bytes,
          digest: found === undefined ? undefined : (part as Digest),
          tags: found?.map(({ tag }) => tag) ?? [],
        }
      }),
    }
  }

  const of = (
    below: RepositoryName,
    digestsElsewhere: (name: RepositoryName) => readonly Digest[],
  ): RepositoryInventory => ({
    kind: 'cached',
    upstream,
    tags: (part) => tagsOf(below, part),
    image: async (digest) => {
      const all = links.all(below)
      if (all === undefined || !all.manifests.includes(digest)) return undefined
      return {
        tags: all.tags.filter((one) => one.digest === digest).map(({ tag }) => tag),
        parents: await parentsOf(all.manifests, digest),
        pinned: isPinned(below, digest),
      }
    },
    stored: async (digests) =>
      new Set(digests.filter((digest) => cache.sizeOf(digest) !== undefined)),
    sharing: async (digests) => {
      const names = await links.repositories()
      const found = names.map((name) => ({ name, blobs: new Set(links.all(name)?.blobs) }))
      return digests.flatMap((digest) =>
        found
          .filter(({ blobs }) => blobs.has(digest))
          .map(({ name }) => ({ digest, name: joinName(prefix, name), manifests: 1 })),
      )
    },
    freed: async () => undefined,
    usage: (others) => usage(below, others.map(digestsElsewhere)),
  })

  return {
    list: async (): Promise<readonly Listed[]> =>
      (await links.repositories()).map((name) => ({
        name: joinName(prefix, name),
        kind: 'cached' as const,
        upstream,
      })),
    describe: describeOne,
    digestsOf,
    of,
  }
}

type CachedTag = NonNullable<ReturnType<CachedLinkStore['all']>>['tags'][number]

function sortTags(
  tags: readonly CachedTag[],
  { order, descending }: TagsPart,
  sizes: ReadonlyMap<Digest, number>,
): readonly CachedTag[] {
  const keyed = tags.map((tag) => ({
    tag,
    name: naturalKey(tag.tag),
    value: order === 'date' ? -tag.age : order === 'size' ? (sizes.get(tag.digest) ?? 0) : 0,
  }))
  const direction = descending ? -1 : 1
  const byName = order === 'name' ? direction : 1
  return keyed
    .toSorted((a, b) => direction * (a.value - b.value) || byName * compare(a.name, b.name))
    .map(({ tag }) => tag)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Undefined: it is not stored, or no manifest. */
async function readManifest(cache: BlobCache, digest: Digest): Promise<Said | undefined> {
  const bytes = await cache.read(digest, maxManifestSize)
  if (bytes === undefined) return undefined
  try {
    const { mediaType, artifactType, references, isIndex, config } = parseManifestDetails(bytes)
    const platforms = isIndex
      ? references.flatMap(({ platform }) => platform ?? [])
      : [await platformOf(cache, config)].filter((one) => one !== undefined)
    return {
      mediaType,
      artifactType,
      isIndex,
      references: references.map((one) => one.digest),
      size: references.reduce((sum, { size }) => sum + size, bytes.length),
      platforms: [...new Set(platforms)].filter((one) => one !== 'unknown/unknown').toSorted(),
    }
  } catch {
    return undefined
  }
}

async function platformOf(
  cache: BlobCache,
  config: { readonly mediaType: string; readonly digest: Digest } | undefined,
): Promise<string | undefined> {
  if (config === undefined || !isImageConfig(config.mediaType)) return undefined
  if (cache.sizeOf(config.digest) === undefined) return undefined
  const bytes = await cache.read(config.digest, maxConfig)
  if (bytes === undefined) return undefined
  try {
    return formatPlatform(JSON.parse(bytes.toString('utf8')))
  } catch {
    return undefined
  }
}

/** A page at a time. */
async function inPages<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = []
  for (let at = 0; at < items.length; at += width)
    results.push(...(await Promise.all(items.slice(at, at + width).map(work))))
  return results
}
