import { rm } from 'node:fs/promises'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { isRepositoryName, isTag, type RepositoryName, type Tag } from '../../oci/reference.ts'
import type { CachedLinkStore, CachedLinks, TagLink } from '../link-store.ts'
import { linksPath, repositoriesDirectory } from '../paths.ts'
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
export interface AllLinks {
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
export async function openCachedLinks(options: CachedLinksOptions): Promise<AllLinks> {
  const { root, temporary, maxSize, onWritten } = options
  const repositories = createRepositories()
  const map = await openDurableMap({
    path: linksPath(root),
    temporary,
    maxSize: Math.floor(Math.max(minLinks, Math.min(maxLinks, maxSize * linksPart))),
    onAdd: repositories.add,
    onRemove: repositories.remove,
    onWritten,
  })
  return { of: (scope) => createLinks(map, scope, repositories), close: map.close }
}

/**
 * Removes links of a cache of an earlier version: one file and its directories each. They are
 * requested again.
 */
export function removeOldLinks(root: string): Promise<void> {
  return rm(repositoriesDirectory(root), { recursive: true, force: true })
}

function createLinks(
  map: DurableMap,
  scope: string,
  { keysOf, names }: Repositories,
): CachedLinkStore {
  const keyOf = (kind: 'blob' | 'manifest' | 'tag', name: RepositoryName, of: Digest | Tag) =>
    `${kind} ${scope} ${name} ${of}`

  const has = (key: string): boolean => map.get(key) !== undefined
  const add = async (key: string): Promise<void> => {
    if (!has(key)) await map.set(key, '')
  }

  const all: CachedLinkStore['all'] = (name) => {
    const tags: CachedTag[] = []
    const digests: Record<'blob' | 'manifest', Digest[]> = { blob: [], manifest: [] }
    for (const key of keysOf(scope, name)) {
      const [kind, , , text = ''] = key.split(' ')
      const link = kind === 'tag' ? linkOf(map.peek(key)) : undefined
      if (link !== undefined && isTag(text)) tags.push({ tag: text, ...link })
      if ((kind === 'blob' || kind === 'manifest') && isDigest(text)) digests[kind].push(text)
    }
    const found = { tags, manifests: digests.manifest, blobs: digests.blob }
    return isEmpty(found) ? undefined : found
  }

  return {
    hasBlob: async (name, digest) => has(keyOf('blob', name, digest)),
    hasManifest: async (name, digest) => has(keyOf('manifest', name, digest)),
    addBlob: (name, digest) => add(keyOf('blob', name, digest)),
    addManifest: (name, digest) => add(keyOf('manifest', name, digest)),
    removeBlob: (name, digest) => map.delete(keyOf('blob', name, digest)),
    removeManifest: (name, digest) => map.delete(keyOf('manifest', name, digest)),

    tag: async (name, tag) => linkOf(map.get(keyOf('tag', name, tag))),
    setTag: (name, tag, digest, age = 0) =>
      map.set(keyOf('tag', name, tag), `${digest} ${Math.round(Date.now() - age)}`),
    removeTag: (name, tag) => map.delete(keyOf('tag', name, tag)),

    tags: async (name) => {
      const found = all(name)
      return found?.tags.map(({ tag }) => tag).toSorted()
    },

    repositories: async () => names(scope).filter(isRepositoryName).toSorted(),

    all,
  }
}

/** A digest, and the time in milliseconds since the epoch at which the tag was validated. */
function linkOf(value: string | undefined): TagLink | undefined {
  const [digest = '', time] = value?.split(' ') ?? []
  if (!isDigest(digest)) return undefined
  return { digest, age: Math.max(0, Date.now() - Number(time)) }
}

type CachedTag = CachedLinks['tags'][number]
type Repository = { readonly keys: Set<string>; manifests: number }
type Repositories = ReturnType<typeof createRepositories>

/** The keys of links by repository, so that no request has to look at all of them. */
function createRepositories() {
  const byName = new Map<string, Repository>()
  const partsOf = (key: string) => {
    const [kind, scope, name] = key.split(' ')
    return { change: kind === 'manifest' ? 1 : 0, of: `${scope} ${name}` }
  }

  return {
    add: (key: string): void => {
      const { of, change } = partsOf(key)
      const repository = byName.get(of) ?? { keys: new Set(), manifests: 0 }
      byName.set(of, repository)
      repository.keys.add(key)
      repository.manifests += change
    },
    remove: (key: string): void => {
      const { of, change } = partsOf(key)
      const repository = byName.get(of)
      if (!repository?.keys.delete(key)) return
      repository.manifests -= change
      if (repository.keys.size === 0) byName.delete(of)
    },
    keysOf: (scope: string, name: string): Iterable<string> =>
      byName.get(`${scope} ${name}`)?.keys ?? [],
    /** Those with a manifest. */
    names: (scope: string): readonly string[] =>
      [...byName]
        .filter(([key, { manifests }]) => manifests > 0 && key.startsWith(`${scope} `))
        .map(([key]) => key.slice(scope.length + 1)),
  }
}

function isEmpty({ tags, manifests }: CachedLinks): boolean {
  return tags.length === 0 && manifests.length === 0
}
