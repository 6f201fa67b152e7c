import type { Digest } from '../../oci/digest.ts'

/**
 * `whiteout`: the layer hides this path of the layers below; `opaque`: it hides all that they have in this
 * directory. `other`: a type that container runtimes do not know.
 */
export type FileType =
  | 'file'
  | 'directory'
  | 'symlink'
  | 'hardlink'
  | 'char'
  | 'block'
  | 'fifo'
  | 'whiteout'
  | 'opaque'
  | 'other'

/** One entry of a layer. A path can have several; the last one counts. */
export type LayerFile = {
  /** Relative to the root of the image, without `/` at either end; empty for the root. */
  readonly path: string
  readonly type: FileType
  /** Bytes of a file; else 0. */
  readonly size: number
  /** Permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Seconds since 1970. */
  readonly modified: number
  /** Of a symbolic link as it is written, of a hard link the path in the layer or a layer below. */
  readonly link?: string
  /** Of the content of a file. */
  readonly digest?: Digest
  /** Of the content in the uncompressed layer, if the layer was read as a whole. */
  readonly position?: number
}
