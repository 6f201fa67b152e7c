import type { TableBytes } from './file-table.ts'
import { sortedChildren } from './image-table.ts'
import { type ImageTree, type TreeEntry, type TreeNode, visible } from './image-tree.ts'
import type { FileType } from './layer-file.ts'
import { createTableWriter, type TableWriter } from './table-writer.ts'

/** A path that two images do not have alike. */
export type FileDifference = {
  readonly path: string
  readonly change: 'added' | 'removed' | 'changed'
  /** Of a change; times do not count. */
  readonly fields?: readonly ('type' | 'size' | 'mode' | 'owner' | 'link' | 'content')[]
  readonly before?: ComparedFile
  readonly after?: ComparedFile
}

type ComparedFile = {
  /** A hard link to a file is a `file`. */
  readonly type: FileType
  readonly size: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly link?: string
  /** Index of the layer that put it there. */
  readonly layer: number
}

export type DifferenceTotals = {
  readonly added: { readonly count: number; readonly size: number }
  readonly removed: { readonly count: number; readonly size: number }
  readonly changed: { readonly count: number; readonly before: number; readonly after: number }
}

type Comparing = {
  readonly before: TreeNode | undefined
  readonly after: TreeNode | undefined
  readonly path: string
}

/** The rows ({@link FileDifference}) in the order of their paths, and their totals. */
export function compareTrees(before: ImageTree, after: ImageTree) {
  const writer = createTableWriter()
  const totals = {
    added: { count: 0, size: 0 },
    removed: { count: 0, size: 0 },
    changed: { count: 0, before: 0, after: 0 },
  }
  const visit = (comparing: Comparing): void => {
    compareNode(comparing, writer, totals)
    for (const name of namesBelow(comparing)) {
      const path = comparing.path === '' ? name : `${comparing.path}/${name}`
      const { before: left, after: right } = comparing
      visit({ before: left?.children?.get(name), after: right?.children?.get(name), path })
    }
  }
  visit({ before: before.root, after: after.root, path: '' })
  const table: TableBytes = writer.finish()
  const result: DifferenceTotals = totals
  return { table, totals: result }
}

function namesBelow({ before, after }: Comparing): Iterable<string> {
  const [left, right] = [before, after].map((node) =>
    node === undefined ? [] : sortedChildren(node).map(({ name }) => name),
  )
  const names = new Set([...(left ?? []), ...(right ?? [])])
  return (right?.length ?? 0) === 0 || left?.length === names.size ? names : [...names].sort()
}

type Totals = {
  readonly added: { count: number; size: number }
  readonly removed: { count: number; size: number }
  readonly changed: { count: number; before: number; after: number }
}

function compareNode({ before, after, path }: Comparing, writer: TableWriter, totals: Totals) {
  const [left, right] = [before && visible(before), after && visible(after)]
  if (left === right || path === '') return
  const write = (row: FileDifference) => writer.write(writer.reserve(), row)
  if (left === undefined && right !== undefined) {
    const file = describe(right)
    totals.added.count += 1
    totals.added.size += sizeOf(right)
    write({ path, change: 'added', after: file })
  } else if (left !== undefined && right === undefined) {
    totals.removed.count += 1
    totals.removed.size += sizeOf(left)
    write({ path, change: 'removed', before: describe(left) })
  } else if (left !== undefined && right !== undefined) {
    const fields = fieldsOf(left, right)
    if (fields.length === 0) return
    totals.changed.count += 1
    totals.changed.before += sizeOf(left)
    totals.changed.after += sizeOf(right)
    write({ path, change: 'changed', fields, before: describe(left), after: describe(right) })
  }
}

/** A hard link adds no bytes. */
function sizeOf({ type, size }: TreeEntry): number {
  return type === 'file' ? size : 0
}

function describe(entry: TreeEntry): ComparedFile {
  const { mode, uid, gid, link, layer } = entry
  const { type, size } = contentOf(entry)
  const isLink = type === 'symlink' || type === 'hardlink'
  return { type, size, mode, uid, gid, layer, ...(isLink && link !== undefined && { link }) }
}

function contentOf(entry: TreeEntry): TreeEntry {
  return entry.target?.entry ?? entry
}

function fieldsOf(left: TreeEntry, right: TreeEntry): readonly FieldName[] {
  const [one, other] = [contentOf(left), contentOf(right)]
  if (one.type !== other.type) return ['type']
  // What nobody wrote cannot differ.
  const isImplied = left.isImplied === true || right.isImplied === true
  const isOwned = one.uid === other.uid && one.gid === other.gid
  // Permissions of a symbolic link have no effect.
  const hasMode = one.type !== 'symlink' && !isImplied
  const differs: Readonly<Record<FieldName, boolean>> = {
    type: false,
    size: one.size !== other.size,
    mode: hasMode && one.mode !== other.mode,
    owner: !isOwned && !isImplied,
    link: (one.type === 'symlink' || one.type === 'hardlink') && one.link !== other.link,
    content: one.type === 'file' && one.digest !== other.digest,
  }
  return fieldNames.filter((name) => differs[name])
}

type FieldName = NonNullable<FileDifference['fields']>[number]

const fieldNames: readonly FieldName[] = ['type', 'size', 'mode', 'owner', 'link', 'content']
