export { createCachedImageHandlers } from './cached-images.ts'
export { createDeleteManifest, createDeleteTag } from './removals.ts'
export {
  createGetRemovedTags,
  createGetTagHistory,
  createRefreshTag,
  createUndoTag,
  type TagVersions,
} from './tag-changes.ts'
