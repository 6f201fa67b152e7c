import type { Change } from './image-tree.ts'
import type { LayerFile } from './layer-file.ts'

/** One path of an image: what is there, and which layers put it there or hid it. */
export type ImageFile = LayerFile & {
  /** Index of the layer that put it there. */
  readonly layer: number
  /** An upper layer hides it: the image does not have it. */
  readonly isRemoved?: true
  /** Of a directory of one layer: it hides what lower layers have in it. */
  readonly isOpaque?: true
  /** What layers did to this path, if more than to add it. */
  readonly changes?: readonly Change[]
  /** The file that a hard link is another name of. Missing for one of no file. */
  readonly target?: LinkTarget
  /** What is below a directory. */
  readonly below?: Below
}

type LinkTarget = {
  readonly layer: number
  readonly path: string
  readonly position?: number
}

export type Below = {
  /** Rows of the table that are below it. */
  readonly rows: number
  /** Files of the image, without those that are hidden. */
  readonly files: number
  /** Bytes of these files. */
  readonly size: number
}
