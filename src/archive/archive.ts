export { ArchiveError } from './archive-error.ts'
export { fileAsImage } from './file-image.ts'
export { imageFile } from './image-file.ts'
export type {
  ImageSource,
  ReadOptions,
  SourceBlob,
  SourceImage,
  SourceManifest,
} from './image-source.ts'
export type { KnownLayers, LayerCompression } from './layer.ts'
export { openImageArchive } from './open-archive.ts'
export { unpackImage } from './unpack-image.ts'
export { archiveBytes, chooseChild } from './write-archive.ts'
