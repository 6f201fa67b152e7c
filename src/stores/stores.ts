export { isStoreName } from './image-names.ts'
export { openStoreImage } from './open-store-image.ts'
export { parseStoreReference } from './store-reference.ts'
