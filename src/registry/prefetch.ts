import type { RepositoryName } from '../oci/reference.ts'
import type { Fills } from './fills.ts'
import type { KnownManifest } from './manifests.ts'
import type { ProxiedBlobs } from './proxied-blobs.ts'

/** Images whose layers are fetched ahead at the same time, each one layer after the other. */
const maxImages = 4

/**
 * Who pulled an image's manifest is likely to want its layers next. An index tells nothing of what
 * will be wanted.
 */
export interface Prefetch {
  layersOf(name: RepositoryName, manifest: KnownManifest): void
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
      // A failure is the fill's to tell; the client will meet it as well.
      const found = await blobs.open(name, digest).catch(() => undefined)
      found?.content.close()
      await fills.find(digest)?.fill.done
    }
  }

  return {
    layersOf: (name, manifest) => {
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
