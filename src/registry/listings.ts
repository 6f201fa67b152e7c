import type { CacheMemory } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import type { PageRequest } from '../oci/page.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Remote, RemoteReferrers, RemoteTags } from '../remote/remote.ts'
import { createLists } from './lists.ts'
import type { ReferrersAnswer, TagsAnswer } from './repository.ts'
import type { ListRequest, SharedList } from './shared-manifests.ts'

/** Maximum time for which a page of tags is cached, in milliseconds: while clients page through it. */
const maxTagsTtl = 10_000

/** In bytes of memory: replicas ask for longer lists themselves. */
const maxShared = 256 * 1024

type ListingsOptions = {
  readonly remote: Remote
  /** The list that another replica has requested for all; undefined: this one has to. */
  readonly findShared: (name: RepositoryName, asked: ListRequest) => Promise<SharedList | undefined>
  readonly caches: CacheMemory
  /** Time to live of a list of referrers, as of a tag, in milliseconds. */
  readonly ttl: number
  readonly staleIfError: number
}

/** Lists of an upstream; its last response while it is unavailable. */
export interface Listings {
  tags(name: RepositoryName, page: PageRequest): Promise<TagsAnswer | undefined>
  referrers(name: RepositoryName, digest: Digest): Promise<ReferrersAnswer>
  /** For another replica, with the same upstream. Undefined: it has to ask the upstream itself. */
  share(name: RepositoryName, asked: ListRequest, origin: string): Promise<SharedList | undefined>
  /** The repository was written to. */
  forget(name: RepositoryName): void
}

export function createListings(options: ListingsOptions): Listings {
  const { remote, findShared, caches, ttl, staleIfError } = options
  const pages = createLists<RemoteTags>({
    caches,
    ttl: Math.min(ttl, maxTagsTtl),
    staleIfError,
  })
  const referrers = createLists<RemoteReferrers>({ caches, ttl, staleIfError })

  /** `isForwarded`: another replica asks, and none is asked. */
  const findPage = (name: RepositoryName, page: PageRequest, isForwarded = false) =>
    pages.find(`${name} ${page.n} ${page.last}`, async () => {
      const shared = isForwarded ? undefined : await findShared(name, { page })
      if (shared !== undefined && 'tags' in shared.list) return { ...shared, list: shared.list }
      const list = await remote.tags(name, page)
      return list && { list, age: 0 }
    })

  const findReferrers = (name: RepositoryName, digest: Digest, isForwarded = false) =>
    referrers.find(`${name}@${digest}`, async () => {
      const shared = isForwarded ? undefined : await findShared(name, { digest })
      if (shared !== undefined && 'descriptors' in shared.list)
        return { ...shared, list: shared.list }
      return { list: await remote.referrers(name, digest), age: 0 }
    })

  return {
    tags: async (name, page) => {
      const found = await findPage(name, page)
      return found && { ...found.provenance, ...found.list }
    },
    referrers: async (name, digest) => {
      const found = await findReferrers(name, digest)
      return { ...found?.provenance, descriptors: found?.list.descriptors ?? [] }
    },
    share: async (name, asked, origin) => {
      if (origin !== remote.origin) return undefined
      const found =
        'page' in asked
          ? await findPage(name, asked.page, true)
          : await findReferrers(name, asked.digest, true)
      const isFresh = found?.provenance.warning === undefined
      return isFresh && found !== undefined && found.list.size <= maxShared ? found : undefined
    },
    forget: (name) => {
      pages.forget(`${name} `)
      referrers.forget(`${name}@`)
    },
  }
}
