export { createCachedImages } from './create-cached-images.ts'
export type {
  CachedImages,
  PinnedImage,
  Prefetch,
} from './images.ts'
