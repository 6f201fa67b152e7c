import type { CacheMemory } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Remote } from '../remote/remote.ts'
import type { Provenance, ReferrersAnswer, TagsAnswer } from './registry.ts'

/** How long a list of tags is kept at most, in milliseconds: while one client pages through it. */
const tagsLife = 10_000

type ListingsOptions = {
  readonly remote: Remote
  readonly caches: CacheMemory
  /** Of a list of referrers, as of a tag: milliseconds. */
  readonly ttl: number
  readonly staleIfError: number
}

/** What lists of an upstream say; while it cannot be asked, what they said last. */
export interface Listings {
  tags(name: RepositoryName): Promise<TagsAnswer | undefined>
  referrers(name: RepositoryName, digest: Digest): Promise<ReferrersAnswer>
}

export function createListings({ remote, caches, ttl, staleIfError }: ListingsOptions): Listings {
  const tags = createLists({
    caches,
    ttl: Math.min(ttl, tagsLife),
    staleIfError,
    ask: ({ name }) => remote.tags(name),
  })
  const referrers = createLists({
    caches,
    ttl,
    staleIfError,
    ask: async ({ name, subject }) => subject && remote.referrers(name, subject),
  })

  return {
    tags: async (name) => {
      const list = await tags(name, { name })
      return list && { ...list.provenance, tags: list.entries }
    },
    referrers: async (name, digest) => {
      const list = await referrers(`${name}@${digest}`, { name, subject: digest })
      return { ...list?.provenance, descriptors: list?.entries ?? [] }
    },
  }
}

type Question = { readonly name: RepositoryName; readonly subject?: Digest }

type ListsOptions<Entry> = {
  readonly caches: CacheMemory
  /** Milliseconds. */
  readonly ttl: number
  readonly staleIfError: number
  /** Undefined when the upstream has no such list. */
  readonly ask: (question: Question) => Promise<readonly Entry[] | undefined>
}

type List<Entry> = {
  readonly entries: readonly Entry[]
  readonly rightAt: number
  readonly warning?: string
}

function createLists<Entry>({ caches, ttl, staleIfError, ask }: ListsOptions<Entry>) {
  const lists = caches.create<List<Entry>, Question>({
    ttl: Math.max(ttl, 1),
    noDeleteOnStaleGet: true,
    ignoreFetchAbort: true,
    fetchMethod: async (_key, last, { context }) => {
      try {
        const entries = await ask(context)
        return entries && { entries, rightAt: performance.now() }
      } catch (error) {
        const mayServe = last !== undefined && performance.now() - last.rightAt < staleIfError
        if (!mayServe || !isRegistryError(error, 'UNAVAILABLE')) throw error
        return { ...last, warning: `this list may have changed: ${error.message}` }
      }
    },
  })

  return async (
    key: string,
    context: Question,
  ): Promise<{ entries: readonly Entry[]; provenance: Provenance } | undefined> => {
    const fresh = lists.get(key)
    const list = fresh ?? (await lists.fetch(key, { context }))
    if (list === undefined) return undefined
    const { entries, warning } = list
    if (warning !== undefined) return { entries, provenance: { warning, cache: 'stale' } }
    return { entries, provenance: { cache: fresh === undefined ? 'miss' : 'hit' } }
  }
}
