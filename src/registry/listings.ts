import { LRUCache } from 'lru-cache'
import { bounded } from '../oci/bounded.ts'
import type { Digest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Remote } from '../remote/remote.ts'
import type { ReferrersAnswer } from './registry.ts'

/**
 * Lists that are remembered, and how long a list of tags is, in milliseconds: as long as one client
 * needs to page through it.
 */
const mostLists = 500
const tagsLife = 10_000

type ListingsOptions = {
  readonly remote: Remote
  /** Of a list of referrers, as of a tag: milliseconds. */
  readonly ttl: number
  readonly staleIfError: number
}

/**
 * What lists of an upstream say. Tags are never stale: a list that lacks new tags would look as if
 * they had been deleted.
 */
export interface Listings {
  tags(name: RepositoryName): Promise<readonly Tag[] | undefined>
  referrers(name: RepositoryName, digest: Digest): Promise<ReferrersAnswer>
}

type Referrers = {
  readonly descriptors: readonly unknown[]
  readonly rightAt: number
  readonly warning?: string
}
type Context = { readonly name: RepositoryName; readonly digest: Digest }

export function createListings({ remote, ttl, staleIfError }: ListingsOptions): Listings {
  const tags = new LRUCache<RepositoryName, readonly Tag[]>({
    ...bounded(mostLists),
    ttl: tagsLife,
    ignoreFetchAbort: true,
    fetchMethod: (name) => remote.tags(name),
  })

  const referrers = new LRUCache<string, Referrers, Context>({
    ...bounded(mostLists),
    ttl: Math.max(ttl, 1),
    noDeleteOnStaleGet: true,
    ignoreFetchAbort: true,
    fetchMethod: async (_key, last, { context: { name, digest } }) => {
      try {
        return { descriptors: await remote.referrers(name, digest), rightAt: performance.now() }
      } catch (error) {
        const mayServe = last !== undefined && performance.now() - last.rightAt < staleIfError
        if (!mayServe || !isRegistryError(error, 'UNAVAILABLE')) throw error
        return { ...last, warning: `this list may have changed: ${error.message}` }
      }
    },
  })

  return {
    tags: (name) => tags.fetch(name),
    referrers: async (name, digest) => {
      const key = `${name}@${digest}`
      const fresh = referrers.get(key)
      const list = fresh ?? (await referrers.fetch(key, { context: { name, digest } }))
      const { descriptors = [], warning } = list ?? {}
      if (warning !== undefined) return { descriptors, warning, cache: 'stale' }
      return { descriptors, cache: fresh === undefined ? 'miss' : 'hit' }
    },
  }
}
