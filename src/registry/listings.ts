import type { CacheMemory } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import type { PageRequest } from '../oci/page.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Remote, RemoteReferrers, RemoteTags } from '../remote/remote.ts'
import { createLists } from './lists.ts'
import type { ReferrersAnswer, TagsAnswer } from './repository.ts'

/** Maximum time for which a page of tags is cached, in milliseconds: while clients page through it. */
const maxTagsTtl = 10_000

type ListingsOptions = {
  readonly remote: Remote
  readonly caches: CacheMemory
  /** Time to live of a list of referrers, as of a tag, in milliseconds. */
  readonly ttl: number
  readonly staleIfError: number
}

/** Lists of an upstream; its last response while it is unavailable. */
export interface Listings {
  tags(name: RepositoryName, page: PageRequest): Promise<TagsAnswer | undefined>
  referrers(name: RepositoryName, digest: Digest): Promise<ReferrersAnswer>
  /** The repository was written to. */
  forget(name: RepositoryName): void
}

export function createListings({ remote, caches, ttl, staleIfError }: ListingsOptions): Listings {
  const pages = createLists<RemoteTags>({
    caches,
    ttl: Math.min(ttl, maxTagsTtl),
    staleIfError,
  })
  const referrers = createLists<RemoteReferrers>({ caches, ttl, staleIfError })

  return {
    tags: async (name, page) => {
      const found = await pages.find(`${name} ${page.n} ${page.last}`, () =>
        remote.tags(name, page),
      )
      return found && { ...found.provenance, ...found.list }
    },
    referrers: async (name, digest) => {
      const found = await referrers.find(`${name}@${digest}`, () => remote.referrers(name, digest))
      return { ...found?.provenance, descriptors: found?.list.descriptors ?? [] }
    },
    forget: (name) => {
      pages.forget(`${name} `)
      referrers.forget(`${name}@`)
    },
  }
}
