import { defaultLimits, type Limits } from '../limits.ts'

/** Limits of what a layer may make us read and keep. Beyond them, reading ends with an ArchiveError `too-large`. */
export type LayerLimits = Limits & {
  /** Bytes of all paths and link targets of an image, each directory counted once. */
  readonly paths: number
  /** Bytes of a table of contents, decompressed. A layer with a larger one is read as a whole. */
  readonly contents: number
  /** Milliseconds until a result, or a part of it. */
  readonly time: number
}

const mebibyte = 1024 * 1024

export const defaultLayerLimits: LayerLimits = {
  ...defaultLimits,
  entries: 300_000,
  paths: 64 * mebibyte,
  contents: 96 * mebibyte,
  size: 64 * 1024 * mebibyte,
  time: 600_000,
}
