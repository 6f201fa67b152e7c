import type { CacheMemory } from '../../memory/memory.ts'
import type { Digest } from '../../oci/digest.ts'
import { naturalKey } from '../../oci/natural-order.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { HostedLinks } from '../../store/store.ts'
import type {
  ImageFacts,
  Listed,
  RepositoryFacts,
  RepositoryInventory,
  TagsFound,
  TagsPart,
  Usage,
} from '../inventory.ts'
import { complete, type HostedIndex } from './hosted-index.ts'
import { inParallel } from './in-parallel.ts'

/** How long sizes are valid in milliseconds, and as a multiple of the time that counting them took. */
const sizesLife = 10_000
const sizesLifeFactor = 50

type Sizes = ReadonlyMap<string, { readonly size: number; readonly ownSize: number }>

type Options = {
  readonly index: HostedIndex | undefined
  readonly links: HostedLinks
  readonly caches: CacheMemory
  /** All hosted repositories, sorted. */
  readonly catalog: () => Promise<readonly RepositoryName[]>
}

/** What the index knows; what the directories tell while it cannot answer. */
export function createHostedInventory({ index, links, caches, catalog }: Options) {
  const sizes = createSizes(index, caches)
  const problem = () => (index?.isWaiting() === true ? undefined : index?.problem())

  const describe = async (listed: readonly Listed[]): Promise<readonly RepositoryFacts[]> => {
    const [records, bytes] = await Promise.all([
      complete(index, ({ repositoryRecords }) => repositoryRecords(everything)),
      sizes(),
    ])
    const byName = new Map(records?.map((record) => [record.name, record]))
    return listed.map((one) => {
      const record = byName.get(one.name)
      const { tags = 0, manifests = 0, changedAt, pushedAt, pulledAt } = record ?? {}
      const pushed = Math.max(changedAt ?? 0, pushedAt ?? 0)
      return {
        ...one,
        tags,
        manifests,
        ...bytes?.get(one.name),
        pushedAt: pushed === 0 ? undefined : pushed,
        pulledAt,
      }
    })
  }

  const of = (name: RepositoryName): RepositoryInventory => ({
    kind: 'hosted',
    tags: async (part) =>
      (await tagsOfIndex(index, name, part)) ?? (await tagsOfLinks(links, name, part)),
    image: async (digest) => {
      const record = await complete(index, ({ image }) => image(name, digest))
      if (record !== undefined) return { ...record, tags: record.tags.map(({ tag }) => tag) }
      return imageOfLinks(links, name, digest)
    },
    stored: async (digests) => {
      const found = await complete(index, ({ storedOf }) => storedOf(digests))
      return new Set(found ?? digests)
    },
    sharing: async (digests) => (await complete(index, ({ sharing }) => sharing(digests))) ?? [],
    freed: async (manifests) => {
      const found = await complete(index, ({ freed }) => freed({ name, manifests }))
      return found?.bytes
    },
    usage: async (others) => (await index?.taggedUsage({ name, others })) ?? noUsage,
  })

  return {
    list: async (): Promise<readonly Listed[]> =>
      (await catalog()).map((name) => ({ name, kind: 'hosted' as const })),
    describe,
    usage: async (parts: Parameters<HostedIndex['usage']>[0]): Promise<Usage> =>
      index === undefined || index.isWaiting() ? noUsage : index.usage(parts),
    of,
    problem,
  }
}

const everything = { prefix: '', search: '', offset: 0, limit: -1 }
const noUsage = { unique: 0, own: 0, parts: [] }

/** Counting reads the whole database, so the result is used for a while. */
function createSizes(index: HostedIndex | undefined, caches: CacheMemory) {
  const memory = caches.create<Sizes>({
    ttl: sizesLife,
    ignoreFetchAbort: true,
    size: (sizes) => sizes.size * 300,
    fetchMethod: async (_key, _stale, { options }) => {
      const start = performance.now()
      const found = await complete(index, ({ repositorySizes }) => repositorySizes())
      if (found === undefined) return undefined
      options.ttl = Math.max(sizesLife, sizesLifeFactor * (performance.now() - start))
      return new Map(found.map(({ name, ...bytes }) => [name, bytes]))
    },
  })
  return (): Promise<Sizes | undefined> => memory.fetch('sizes')
}

async function tagsOfIndex(
  index: HostedIndex | undefined,
  name: RepositoryName,
  part: TagsPart,
): Promise<TagsFound | undefined> {
  const found = await complete(index, ({ tagRecords }) => tagRecords(name, part))
  if (found === undefined || (found.total === 0 && part.search === '')) return undefined
  const tags = found.records.map(({ at, missing, ...record }) => ({
    ...record,
    mediaType: record.mediaType === '' ? undefined : record.mediaType,
    pushedAt: at,
    stored: missing === 0 ? ('all' as const) : ('part' as const),
  }))
  return { total: found.total, tags }
}

/** By name only: dates and sizes are in the index. */
async function tagsOfLinks(
  links: HostedLinks,
  name: RepositoryName,
  { search, descending, offset, limit }: TagsPart,
): Promise<TagsFound | undefined> {
  const all = await links.tags(name)
  if (all === undefined) return undefined
  const text = search.toLowerCase()
  const matching = all.filter((tag) => tag.toLowerCase().includes(text))
  const sorted = sortedNaturally(matching)
  const page = (descending ? sorted.toReversed() : sorted).slice(offset, offset + limit)
  const found = await inParallel(page, async (tag) => {
    const link = await links.tag(name, tag)
    if (link === undefined) return undefined
    return {
      tag,
      digest: link.digest,
      platforms: [],
      pushedAt: Date.now() - link.age,
      stored: 'all' as const,
      pinned: false,
    }
  })
  return { total: matching.length, tags: found.filter((tag) => tag !== undefined) }
}

function sortedNaturally(tags: readonly Tag[]): readonly Tag[] {
  const keyed = tags.map((tag) => ({ tag, key: naturalKey(tag) }))
  return keyed
    .toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ tag }) => tag)
}

async function imageOfLinks(
  links: HostedLinks,
  name: RepositoryName,
  digest: Digest,
): Promise<ImageFacts | undefined> {
  if (!(await links.hasManifest(name, digest))) return undefined
  return { tags: [], parents: [], pinned: false }
}
