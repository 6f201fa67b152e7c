import type { BlobCache } from './blob-store.ts'
import type { LinkStore } from './link-store.ts'

/** What a pull-through cache keeps: blobs, and the links of its upstreams. */
export interface DiskCache extends BlobCache {
  /** Links of one upstream, as one identity: `scope` keeps them apart from those of others. */
  links(scope: string): LinkStore
}
