import { ArchiveError } from '../archive-error.ts'
import type { LayerFile } from './layer-file.ts'
import type { LayerLimits } from './layer-limits.ts'

/** One path of an image, and what is below it. */
export type TreeNode = {
  readonly name: string
  /** Undefined: nothing was ever below it. */
  children: Map<string, TreeNode> | undefined
  /** What is there, or was there last. Undefined only before the first entry. */
  entry: TreeEntry | undefined
  /** Nothing is there, because an upper layer hides it. */
  isHidden: boolean
  /** What layers did here, in their order; at most one for each layer. */
  changes: readonly Change[]
  /** The last layer with an entry here or below. */
  layer: number
}

export type TreeEntry = Omit<LayerFile, 'path'> & {
  readonly layer: number
  /** Of a hard link: the file that it is another name of. */
  readonly target?: ContentPlace | undefined
  /** No layer has an entry for this directory, only for what is in it. */
  readonly isImplied?: boolean
  /** Of a directory of a layer shown by itself: it hides what lower layers have in it. */
  readonly isOpaque?: true
}

type ContentPlace = { readonly path: string; readonly entry: TreeEntry }

export type Change = {
  /** Index of the layer. */
  readonly layer: number
  readonly change: 'added' | 'changed' | 'removed'
}

/** The layers of an image on top of each other, as container runtimes show them. */
export interface ImageTree {
  readonly root: TreeNode
  /** For each layer, the bytes of its files, and how many of them upper layers hide. */
  readonly sizes: readonly { readonly size: number; readonly hidden: number }[]
  /** The next layer begins. */
  nextLayer(): void
  add(file: LayerFile): void
  /** Shows a whiteout instead of applying it, unless the layer has something there. */
  keep(whiteout: LayerFile): void
}

const impliedDirectory = {
  type: 'directory',
  size: 0,
  mode: 0o755,
  uid: 0,
  gid: 0,
  modified: 0,
  isImplied: true,
} as const

/**
 * Whiteouts of a layer concern the layers below, wherever they are in it (image-spec, "Whiteouts").
 * `add` throws an ArchiveError: `too-large`, or `invalid` for a layer whose root is no directory.
 */
export function createImageTree(limits: LayerLimits): ImageTree {
  const root = createNode('')
  const sizes: { size: number; hidden: number }[] = []
  let layer = -1
  /** Of nearly all paths, so they share it. */
  let added: readonly Change[] = []
  let nodes = 0
  let bytes = 0

  const count = (more: number, text: string): void => {
    nodes += more
    bytes += Buffer.byteLength(text)
    if (nodes > limits.entries)
      throw new ArchiveError('too-large', `the image has more than ${limits.entries} paths`)
    if (bytes > limits.paths)
      throw new ArchiveError('too-large', `the image has more than ${limits.paths} bytes of paths`)
  }

  const childOf = (parent: TreeNode, name: string): TreeNode => {
    parent.children ??= new Map()
    const found = parent.children.get(name)
    if (found !== undefined) return found
    count(1, name)
    // A copy: a part of a string keeps the whole one in memory.
    const own = Buffer.from(name).toString()
    const child = createNode(own)
    parent.children.set(own, child)
    return child
  }

  /** The node of a path. What is no directory above it becomes one, as overlayfs shows it. */
  const locate = (path: string): TreeNode => {
    let node = root
    if (path === '') return node
    for (const part of path.split('/')) {
      if (visible(node)?.type !== 'directory') set(node, { ...impliedDirectory, layer })
      node.layer = layer
      node = childOf(node, part)
    }
    return node
  }

  const set = (node: TreeNode, entry: TreeEntry): void => {
    const before = visible(node)
    const isSame = before !== undefined && isSameDirectory(before, entry)
    if (entry.type !== 'directory') removeBelow(node, () => true)
    if (!isSame) {
      hideContent(before)
      record(node, before === undefined ? 'added' : 'changed')
    }
    if (!isSame || before.isImplied) node.entry = entry
    node.isHidden = false
    node.layer = layer
  }

  const record = (node: TreeNode, change: Change['change']): void => {
    const { changes } = node
    const last = changes.at(-1)
    if (last === undefined && change === 'added') node.changes = added
    else if (last?.layer !== layer) node.changes = [...changes, { layer, change }]
    // Hidden and put there again by one layer: compared with the layers below, that is a change.
    else if (last.change === 'removed')
      node.changes = [...changes.slice(0, -1), { layer, change: 'changed' }]
    else if (change === 'removed') node.changes = [...changes.slice(0, -1), { layer, change }]
  }

  const hideContent = (entry: TreeEntry | undefined): void => {
    const size = entry && sizes[entry.layer]
    if (size !== undefined && entry?.type === 'file') size.hidden += entry.size
  }

  const remove = (node: TreeNode, which: (node: TreeNode) => boolean): void => {
    const before = visible(node)
    if (before !== undefined && which(node)) {
      hideContent(before)
      node.isHidden = true
      record(node, 'removed')
    }
    removeBelow(node, which)
  }

  const removeBelow = (node: TreeNode, which: (node: TreeNode) => boolean): void => {
    if (node.children === undefined) return
    for (const child of node.children.values()) remove(child, which)
  }

  const isOfLowerLayer = (node: TreeNode): boolean => node.layer < layer

  return {
    root,
    sizes,
    nextLayer: () => {
      layer += 1
      added = [{ layer, change: 'added' }]
      sizes.push({ size: 0, hidden: 0 })
    },
    add: ({ path, ...file }) => {
      if (file.type === 'whiteout' || file.type === 'opaque') {
        const hidden = findNode(root, path)
        if (hidden === undefined) return
        if (file.type === 'whiteout') remove(hidden, isOfLowerLayer)
        else removeBelow(hidden, isOfLowerLayer)
        return
      }
      if (path === '' && file.type !== 'directory')
        throw new ArchiveError('invalid', 'the root of a layer is no directory')
      if (path === file.link && file.type === 'hardlink') return
      if (file.link !== undefined) count(0, file.link)
      const target =
        file.type === 'hardlink' ? targetOf(findNode(root, file.link ?? ''), file.link) : undefined
      const size = sizes[layer]
      if (size !== undefined) size.size += file.size
      set(locate(path), { ...file, layer, ...(target && { target }) })
    },
    keep: ({ path, ...whiteout }) => {
      if (path === '') return
      const node = locate(path)
      const there = visible(node)
      if (there?.type === 'directory') node.entry = { ...there, isOpaque: true }
      else if (there !== undefined) return
      else if (whiteout.type === 'whiteout') set(node, { ...whiteout, layer })
      else set(node, { ...impliedDirectory, layer, isOpaque: true })
    },
  }
}

const none: readonly Change[] = []

function createNode(name: string): TreeNode {
  return { name, children: undefined, entry: undefined, isHidden: true, changes: none, layer: -1 }
}

/** Also what is hidden. */
export function findNode(root: TreeNode, path: string): TreeNode | undefined {
  let node: TreeNode | undefined = root
  if (path !== '') for (const part of path.split('/')) node = node?.children?.get(part)
  return node
}

/** What is there now. */
export function visible({ entry, isHidden }: TreeNode): TreeEntry | undefined {
  return isHidden ? undefined : entry
}

/** Archives repeat the directories that their files are in. */
function isSameDirectory(one: TreeEntry, other: TreeEntry): boolean {
  if (one.type !== 'directory' || other.type !== 'directory') return false
  const isAlike = one.mode === other.mode && one.uid === other.uid && one.gid === other.gid
  return isAlike || one.isImplied === true || other.isImplied === true
}

function targetOf(node: TreeNode | undefined, path = ''): ContentPlace | undefined {
  const entry = node && visible(node)
  if (entry === undefined) return undefined
  return entry.target ?? { path, entry }
}
