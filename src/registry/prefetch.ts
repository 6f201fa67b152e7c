import type { RepositoryName } from '../oci/reference.ts'
import type { Fills } from './fills.ts'
import type { KnownManifest } from './manifests.ts'
import type { ProxiedBlobs } from './proxied-blobs.ts'

/** Images whose layers are prefetched at the same time, one layer after another for each. */
const maxImages = 4

/**
 * Downloads the layers of an image whose manifest was pulled, before the client requests them. The
 * manifest that a client selects from an index is not known in advance.
 */
export interface Prefetch {
  fetchLayers(name: RepositoryName, manifest: KnownManifest): void
  close(): Promise<void>
}

type PrefetchOptions = { readonly blobs: ProxiedBlobs; readonly fills: Fills }

export function createPrefetch({ blobs, fills }: PrefetchOptions): Prefetch {
  const running = new Set<Promise<void>>()
  let closed = false

  const fetchLayers = async (
    name: RepositoryName,
    { references }: KnownManifest,
  ): Promise<void> => {
    for (const { digest } of references) {
      if (closed) return
      // The fill logs failures, and the client gets the error.
      const found = await blobs.open(name, digest).catch(() => undefined)
      found?.content.close()
      await fills.find(digest)?.fill.done
    }
  }

  return {
    fetchLayers: (name, manifest) => {
      if (manifest.isIndex || running.size >= maxImages) return
      const work = fetchLayers(name, manifest)
      running.add(work)
      void work.finally(() => running.delete(work))
    },
    close: async () => {
      closed = true
      await Promise.all(running)
    },
  }
}
