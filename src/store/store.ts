export type { BlobCache, BlobSource, BlobWriter, CachedUpload } from './blob-store.ts'
export { createBucketStore } from './bucket/bucket.ts'
export { createDiskCache, type DiskCache } from './cache/cache.ts'
export {
  createHostedStore,
  createRunId,
  fingerprintOf,
  type HostedBlobs,
  type HostedLinks,
  type HostedStore,
  hasContent,
  isBerths,
  isRunId,
  parseRunId,
  type RunId,
  type TrashEntry,
  type TrashRun,
  type Upload,
} from './hosted/hosted.ts'
export type { CachedLinkStore, LinkSource, LinkStore } from './link-store.ts'
export {
  type Bucket,
  type BucketSettings,
  type ListedObject,
  type ObjectAccess,
  type ObjectHead,
  type ObjectStore,
  ObjectStoreError,
  type ObjectStoreFailure,
  type OpenObject,
  type PutResult,
  type WriteCondition,
} from './object-store.ts'
export { createObjectUrls } from './object-urls.ts'
export { blobPath } from './paths.ts'
export { overlap } from './roots.ts'
