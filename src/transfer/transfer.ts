export { forEachOf } from './for-each-of.ts'
export {
  createImageDetails,
  type ImageDetails,
  isAttestation,
  type PlatformImage,
} from './image-details.ts'
export type { Retry } from './persist.ts'
export { announceImage, type Progress, type Pushed, pushImage } from './push-image.ts'
export { openRegistryImage } from './registry-source.ts'
export { watchReads } from './watch-reads.ts'
