import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { BlobCache, CachedLinkStore } from '../../store/store.ts'
import { readParts } from './image-parts.ts'
import type { Eviction } from './images.ts'
import type { ReadStored } from './stored-images.ts'

type Options = {
  readonly cache: BlobCache
  readonly read: ReadStored
  /** Of all upstreams. */
  readonly links: readonly CachedLinkStore[]
}

type Evicted = {
  readonly links: CachedLinkStore
  /** Below the upstream's prefix. */
  readonly below: RepositoryName
  readonly digest: Digest
  readonly dryRun: boolean
}

/**
 * 1. The parts of the image: of an index, the children that are stored, unless a tag points to one.
 * 2. What other images in the cache have stays: those of all repositories that have a link to a stored
 *    manifest, also to the same one under another name.
 * 3. What is pinned stays. The rest is removed. A pull between 2 and 3 only has to fetch it again.
 */
export async function evictImage(
  { cache, read, links: all }: Options,
  { links, below, digest, dryRun }: Evicted,
): Promise<Eviction> {
  const { manifests, blobs } = await readParts(digest, { read })
  const own = links.all(below)
  const tagged = new Set(own?.tags.map((tag) => tag.digest))
  const isOwn = (one: Digest) => one === digest || (manifests.has(one) && !tagged.has(one))

  const needed = new Set<Digest>()
  const need = async (root: Digest): Promise<void> => {
    if (needed.has(root) || cache.sizeOf(root) === undefined) return
    const parts = await readParts(root, { read })
    for (const part of [...parts.manifests.keys(), ...parts.blobs.keys()]) needed.add(part)
  }
  for (const store of all)
    for (const name of await store.repositories())
      for (const one of store.all(name)?.manifests ?? [])
        if (store !== links || name !== below || !isOwn(one)) await need(one)

  const stored = [...new Set([...manifests.keys(), ...blobs.keys()])].flatMap((part) => {
    const size = cache.sizeOf(part)
    return size === undefined ? [] : [{ part, size }]
  })
  const removable = stored.filter(({ part }) => !needed.has(part) && !cache.pins.holds(part))
  const sum = (parts: typeof stored) => parts.reduce((total, { size }) => total + size, 0)
  const frees = dryRun ? sum(removable) : await cache.evict(removable.map(({ part }) => part))
  return { digest, evicted: !dryRun, frees, stays: Math.max(0, sum(stored) - sum(removable)) }
}
