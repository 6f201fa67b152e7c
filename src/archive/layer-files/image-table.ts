import type { TableBytes } from './file-table.ts'
import type { Below, ImageFile } from './image-file.ts'
import { findNode, type ImageTree, type TreeEntry, type TreeNode, visible } from './image-tree.ts'
import { createTableWriter, type TableWriter } from './table-writer.ts'

/** What an image has, without what is hidden. */
export type ImageTotals = {
  readonly files: number
  readonly directories: number
  /** Symbolic and hard links. */
  readonly links: number
  /** Devices, FIFOs and unknown types. */
  readonly others: number
  /** Bytes of the files; a file with several names counts once. */
  readonly size: number
  /** Paths that upper layers hide; of one layer, its whiteouts. */
  readonly removed: number
}

type Totals = { -readonly [Name in keyof ImageTotals]: number }

/** The rows ({@link ImageFile}) and the totals of an image, without its root. */
export function writeImageTable({ root }: ImageTree): {
  readonly table: TableBytes
  readonly totals: ImageTotals
} {
  const totals = { files: 0, directories: 0, links: 0, others: 0, size: 0, removed: 0 }
  const writer = createTableWriter()
  writeBelow({ node: root, path: '', writer, totals, root, counted: new Set() })
  return { table: writer.finish(), totals }
}

type Writing = {
  readonly node: TreeNode
  readonly path: string
  readonly writer: TableWriter
  readonly totals: Totals
  readonly root: TreeNode
  /** Contents that only hard links have, after their file was hidden. */
  readonly counted: Set<TreeEntry>
}

function writeBelow(writing: Writing): Below {
  const { node, path, writer } = writing
  const before = writer.rows()
  let [files, size] = [0, 0]
  for (const child of sortedChildren(node)) {
    const childPath = path === '' ? child.name : `${path}/${child.name}`
    const below = writeNode({ ...writing, node: child, path: childPath })
    files += below.files
    size += below.size
  }
  return { rows: writer.rows() - before, files, size }
}

/** In the order of UTF-16 code units, as tables are searched. */
export function sortedChildren({ children }: TreeNode): readonly TreeNode[] {
  if (children === undefined) return []
  return [...children.values()].sort((one, other) => (one.name < other.name ? -1 : 1))
}

/** Counts the node and all below it. A directory's row needs what is below it, and comes first. */
function writeNode(writing: Writing): Omit<Below, 'rows'> {
  const { node, path, writer } = writing
  const { entry, isHidden, changes } = node
  if (entry === undefined) return writeBelow(writing)
  const place = writer.reserve()
  const below = writeBelow(writing)
  const own = count(writing, entry)
  const hasBelow = entry.type === 'directory' || below.rows > 0
  const isPlain = changes.length === 1 && changes[0]?.change === 'added'
  const row: ImageFile = {
    ...describe(path, entry),
    ...(isHidden && { isRemoved: true }),
    ...(!isPlain && { changes }),
    ...(hasBelow && { below }),
  }
  writer.write(place, row)
  return { files: below.files + own.files, size: below.size + own.size }
}

function describe(path: string, entry: TreeEntry): ImageFile {
  const { target, isImplied: _, ...rest } = entry
  if (target?.entry.type !== 'file') return { path, ...rest }
  const { digest, position, size, layer } = target.entry
  return {
    path,
    ...rest,
    size,
    ...(digest !== undefined && { digest }),
    target: { layer, path: target.path, ...(position !== undefined && { position }) },
  }
}

function count(writing: Writing, entry: TreeEntry) {
  const { node, totals } = writing
  const nothing = { files: 0, size: 0 }
  if (visible(node) === undefined) {
    totals.removed += 1
    return nothing
  }
  switch (entry.type) {
    case 'file':
      totals.files += 1
      totals.size += entry.size
      return { files: 1, size: entry.size }
    case 'directory':
      totals.directories += 1
      return nothing
    case 'whiteout':
      totals.removed += 1
      return nothing
    case 'symlink':
      totals.links += 1
      return nothing
    case 'hardlink':
      totals.links += 1
      return { files: 0, size: countHardLink(writing, entry) }
    default:
      totals.others += 1
      return nothing
  }
}

/** Bytes that were not counted before. */
function countHardLink({ totals, root, counted }: Writing, { target }: TreeEntry): number {
  if (target === undefined || counted.has(target.entry)) return 0
  const node = findNode(root, target.path)
  if (node !== undefined && visible(node) === target.entry) return 0
  counted.add(target.entry)
  totals.size += target.entry.size
  return target.entry.size
}
