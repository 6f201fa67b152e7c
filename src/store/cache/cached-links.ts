import { type Digest, isDigest } from '../../oci/digest.ts'
import { isRepositoryName, isTag, type RepositoryName, type Tag } from '../../oci/reference.ts'
import type { CachedLinkStore } from '../link-store.ts'
import { linksPath } from '../paths.ts'
import type { Temporary } from '../temporary.ts'
import { type DurableMap, openDurableMap } from './durable-map.ts'

/** Maximum bytes of links: this part of the cache, within these bounds. */
const minLinks = 64 * 1024
const maxLinks = 8 * 1024 * 1024
const linksPart = 1 / 50

type CachedLinksOptions = {
  readonly root: string
  readonly temporary: Temporary
  /** Bytes of the whole cache. */
  readonly maxSize: number
  /** The file was written. */
  readonly onWritten: () => void
}

/** The links of all upstreams of a cache, in memory and in one file. */
export interface CachedLinks {
  /**
   * Links of one upstream for one identity. `scope`, without white space, separates them from the
   * links of others.
   */
  of(scope: string): CachedLinkStore
  close(): Promise<void>
}

/**
 * Links are small and numerous, and can be requested from the upstream again: the least recently
 * used are evicted, whether their blobs are stored or not. A link outlives the eviction of its
 * blob, so that the blob returns under the same name.
 */
export async function openCachedLinks(options: CachedLinksOptions): Promise<CachedLinks> {
  const { root, temporary, maxSize, onWritten } = options
  /** The number of manifests of each repository, by scope and name. */
  const manifests = new Map<string, number>()
  const count = (key: string, change: number): void => {
    const [kind, scope, name] = key.split(' ')
    if (kind !== 'manifest') return
    const left = (manifests.get(`${scope} ${name}`) ?? 0) + change
    if (left > 0) manifests.set(`${scope} ${name}`, left)
    else manifests.delete(`${scope} ${name}`)
  }
  const map = await openDurableMap({
    path: linksPath(root),
    temporary,
    maxSize: Math.floor(Math.max(minLinks, Math.min(maxLinks, maxSize * linksPart))),
    onAdd: (key) => count(key, 1),
    onRemove: (key) => count(key, -1),
    onWritten,
  })
  return { of: (scope) => createLinks(map, scope, manifests), close: map.close }
}

function createLinks(
  map: DurableMap,
  scope: string,
  manifests: ReadonlyMap<string, number>,
): CachedLinkStore {
  const keyOf = (kind: 'blob' | 'manifest' | 'tag', name: RepositoryName, of: Digest | Tag) =>
    `${kind} ${scope} ${name} ${of}`

  const has = (key: string): boolean => map.get(key) !== undefined
  const add = async (key: string): Promise<void> => {
    if (!has(key)) await map.set(key, '')
  }

  return {
    hasBlob: async (name, digest) => has(keyOf('blob', name, digest)),
    hasManifest: async (name, digest) => has(keyOf('manifest', name, digest)),
    addBlob: (name, digest) => add(keyOf('blob', name, digest)),
    addManifest: (name, digest) => add(keyOf('manifest', name, digest)),
    removeBlob: (name, digest) => map.delete(keyOf('blob', name, digest)),
    removeManifest: (name, digest) => map.delete(keyOf('manifest', name, digest)),

    tag: async (name, tag) => {
      const [digest = '', time] = map.get(keyOf('tag', name, tag))?.split(' ') ?? []
      if (!isDigest(digest)) return undefined
      return { digest, age: Math.max(0, Date.now() - Number(time)) }
    },
    setTag: (name, tag, digest) => map.set(keyOf('tag', name, tag), `${digest} ${Date.now()}`),
    removeTag: (name, tag) => map.delete(keyOf('tag', name, tag)),

    // Iterates over all links: no request to a cache needs this.
    tags: async (name) => {
      const start = `tag ${scope} ${name} `
      const found = [...map.keys()].filter((key) => key.startsWith(start))
      if (found.length === 0 && !manifests.has(`${scope} ${name}`)) return undefined
      return found
        .map((key) => key.slice(start.length))
        .filter(isTag)
        .toSorted()
    },

    repositories: async () => {
      const start = `${scope} `
      const found = [...manifests.keys()].filter((key) => key.startsWith(start))
      return found
        .map((key) => key.slice(start.length))
        .filter(isRepositoryName)
        .toSorted()
    },
  }
}
