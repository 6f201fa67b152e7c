export type { BlobCache, BlobSource, BlobWriter } from './blob-store.ts'
export { createDiskCache, type DiskCache } from './cache/cache.ts'
export {
  createHostedStore,
  createRunId,
  type HostedStore,
  parseRunId,
  type Upload,
} from './hosted/hosted.ts'
export type { LinkSource, LinkStore } from './link-store.ts'
export { overlap } from './roots.ts'
