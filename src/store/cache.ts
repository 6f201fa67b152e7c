import type { BlobCache } from './blob-store.ts'
import type { LinkStore } from './link-store.ts'

/** What a pull-through cache stores: blobs, and the links of its upstreams. */
export interface DiskCache extends BlobCache {
  /** Links of one upstream for one identity: `scope` separates them from the links of others. */
  links(scope: string): LinkStore
}
