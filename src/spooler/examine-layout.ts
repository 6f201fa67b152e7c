import { lstat, opendir } from 'node:fs/promises'
import type { OpenDirectory } from '../input/input.ts'
import { isUnfinished } from './spool-names.ts'

type Layout = {
  readonly files: number
  /** Bytes of all files. */
  readonly size: number
  /** Of the newest file or directory, in milliseconds since the epoch. */
  readonly modified: number
  /** User IDs of all files and directories. */
  readonly owners: ReadonlySet<number>
  /** Why the directory is more than a layout. */
  readonly foreign: string | undefined
  /** Why it does not seem to be complete. */
  readonly unfinished: string | undefined
}

/** More blobs than an image has, by far. */
const maxFiles = 20_000
const ofLayout =
  /^(?:oci-layout|index\.json|manifest\.json|repositories|blobs(?:\/[a-z0-9]+(?:\/[a-f0-9]+)?)?)$/
/** What file managers leave in each directory: no content of anybody. */
const ofFileManager = /^(?:\.DS_Store|\._.*|\.directory|Thumbs\.db|desktop\.ini)$/

/** Looks at all files of an OCI layout. Nothing is opened but directories, and no link is followed. */
export async function examineLayout(layout: OpenDirectory): Promise<Layout> {
  let files = 0
  let size = 0
  let modified = 0
  let foreign: string | undefined
  let unfinished: string | undefined
  const owners = new Set<number>()

  const visit = async (directory: OpenDirectory, path: string): Promise<void> => {
    const own = await lstat(directory.at())
    modified = Math.max(modified, own.mtimeMs)
    owners.add(own.uid)
    for await (const { name } of await opendir(directory.at())) {
      if (ofFileManager.test(name)) continue
      await visitEntry(directory, path === '' ? name : `${path}/${name}`, name)
      if (foreign !== undefined) return
    }
  }

  const visitEntry = async (parent: OpenDirectory, path: string, name: string) => {
    if (isUnfinished(name))
      unfinished = `the OCI layout contains ${path}, which seems to be unfinished`
    else if (!ofLayout.test(path))
      foreign = `the directory has a file oci-layout, and with ${path} more than an OCI layout`
    if (files >= maxFiles) foreign = `the OCI layout has more than ${maxFiles} files`
    if (foreign !== undefined) return
    const below = isUnfinished(name) ? undefined : await parent.enter(name)
    if (below !== undefined) {
      await visit(below, path).finally(() => below.close())
      return
    }
    const stat = await lstat(parent.at(name)).catch(() => undefined)
    if (stat === undefined) return
    files += 1
    size += stat.size
    modified = Math.max(modified, stat.mtimeMs)
    owners.add(stat.uid)
  }

  await visit(layout, '')
  return { files, size, modified, owners, foreign, unfinished }
}
