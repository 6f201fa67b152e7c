export { ArchiveError } from './archive-error.ts'
export { type ArtifactFile, filesAsArtifact } from './artifact.ts'
export { fileAsImage } from './file-image.ts'
export { titledFiles } from './image-file.ts'
export type {
  ImageSource,
  ReadOptions,
  SourceBlob,
  SourceImage,
  SourceManifest,
} from './image-source.ts'
export type { KnownLayers, LayerCompression } from './layer.ts'
export { type OpenImage, openImage } from './layer-blobs.ts'
export {
  compareImages,
  findFile,
  type ImageComparison,
  type ImageFile,
  type ImageFiles,
  imageFiles,
  type LayerBlob,
  type LayerFile,
  layerFiles,
  listLayerFiles,
  readImageFile,
  readLayerFile,
} from './layer-files/layer-files.ts'
export { openImageArchive } from './open-archive.ts'
export { unpackImage } from './unpack-image.ts'
export { type ArchiveFormat, archiveBytes, chooseChild, platformsOf } from './write-archive.ts'
export { writeLayout } from './write-layout.ts'
