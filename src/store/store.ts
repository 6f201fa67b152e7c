export type { BlobCache, BlobSource, BlobWriter } from './blob-store.ts'
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
  parseRunId,
  type RunId,
  type Upload,
  type UploadStore,
} from './hosted/hosted.ts'
export type { LinkSource, LinkStore } from './link-store.ts'
export { overlap } from './roots.ts'
