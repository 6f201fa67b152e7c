export { type Progress, type Pushed, pushImage } from './push-image.ts'
export { openRegistryImage } from './registry-source.ts'
