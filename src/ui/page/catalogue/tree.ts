import type { Repositories } from '../../../api/answers.ts'

export type Repository = Repositories['repositories'][number]

/** A row of the catalogue. A repository can be a group as well: `app` beside `app/cache`. */
export type Row = {
  /** The whole name, or the prefix with its slash. */
  readonly path: string
  /** The part of the name below the parent, which the page shows. */
  readonly label: string
  readonly depth: number
  readonly repository: Repository | undefined
  readonly group: Group | undefined
}

/** Sums of all repositories below a prefix. */
type Group = {
  readonly isOpen: boolean
  readonly repositories: number
  readonly tags: number
  readonly size: number
}

type Node = {
  readonly path: string
  readonly children: Map<string, Node>
  repository: Repository | undefined
}

type TreeOptions = {
  /** All below the prefix, sorted by name. */
  readonly repositories: readonly Repository[]
  /** What the rows are below: empty, or ends with a slash. */
  readonly prefix: string
  /** About a prefix that ends with a slash, and the number of repositories below it. */
  readonly isOpen: (prefix: string, repositories: number) => boolean
}

/** The rows of the tree of names. Prefixes with one child are one row with it, such as `docker.io/library`. */
export function treeRows({ repositories, prefix, isOpen }: TreeOptions): readonly Row[] {
  const root: Node = { path: prefix, children: new Map(), repository: undefined }
  for (const repository of repositories) insert(root, repository)
  const rows: Row[] = []
  for (const child of root.children.values())
    append({ rows, node: child, depth: 0, parent: prefix, isOpen })
  return rows
}

function insert(root: Node, repository: Repository): void {
  let node = root
  let path = root.path.replace(/\/$/, '')
  for (const part of repository.name.slice(root.path.length).split('/')) {
    path = path === '' ? part : `${path}/${part}`
    let child = node.children.get(part)
    if (child === undefined) {
      child = { path, children: new Map(), repository: undefined }
      node.children.set(part, child)
    }
    node = child
  }
  node.repository = repository
}

type AppendOptions = Pick<TreeOptions, 'isOpen'> & {
  readonly rows: Row[]
  readonly node: Node
  readonly depth: number
  /** The path that the label leaves out. */
  readonly parent: string
}

function append({ rows, node: start, depth, parent, isOpen }: AppendOptions): void {
  const node = onlyDescendant(start)
  const isGroup = node.children.size > 0
  const path = isGroup && node.repository === undefined ? `${node.path}/` : node.path
  const sums = isGroup ? sumsOf(node) : undefined
  const group = sums && { ...sums, isOpen: isOpen(`${node.path}/`, sums.repositories) }
  rows.push({ path, label: path.slice(parent.length), depth, repository: node.repository, group })
  if (group?.isOpen !== true) return
  for (const child of node.children.values())
    append({ rows, node: child, depth: depth + 1, parent: `${node.path}/`, isOpen })
}

function onlyDescendant(node: Node): Node {
  let current = node
  while (current.repository === undefined && current.children.size === 1)
    for (const child of current.children.values()) current = child
  return current
}

function sumsOf(node: Node): Omit<Group, 'isOpen'> {
  const own = node.repository
  let repositories = own === undefined ? 0 : 1
  let tags = own?.tags ?? 0
  let size = own?.size ?? 0
  for (const child of node.children.values()) {
    const sums = sumsOf(child)
    repositories += sums.repositories
    tags += sums.tags
    size += sums.size
  }
  return { repositories, tags, size }
}
