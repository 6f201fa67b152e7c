import type { Stats } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from './durable-files.ts'
import { doneDirectory, failedDirectory, isUnfinished, stateDirectory } from './spool-names.ts'

/** A file in the spool. A directory that is an OCI layout counts as one file. */
export type Entry = {
  /** Below the spool, with `/`. */
  readonly path: string
  readonly kind: 'file' | 'layout' | 'other'
  /** Bytes. */
  readonly size: number
  /** Of the last change of the content, in milliseconds since the epoch. */
  readonly modified: number
  /** Equal as long as neither the file nor its content is another one. */
  readonly identity: string
}

/** Levels of directories, and entries of one scan; the rest is seen when these have been pushed. */
const maxDepth = 16
const maxEntries = 100_000

const reserved = [failedDirectory, doneDirectory, stateDirectory]

type ListOptions = {
  /** Whether a directory at the top may be a layout: not if it belongs to several files of a user. */
  readonly layoutsAtTop?: boolean | undefined
}

/** All entries that are not marked as unfinished. Nothing is opened or followed. */
export async function listEntries(
  root: string,
  { layoutsAtTop = true }: ListOptions = {},
): Promise<readonly Entry[]> {
  const found: Entry[] = []
  const visit = async (directory: string, depth: number): Promise<void> => {
    const names = await readdir(join(root, directory)).catch(ignoreMissing)
    for (const name of names ?? []) {
      const path = directory === '' ? name : `${directory}/${name}`
      if (found.length >= maxEntries || isUnfinished(name)) continue
      if (directory === '' && reserved.includes(name)) continue
      const stat = await lstat(join(root, path)).catch(ignoreMissing)
      if (stat === undefined) continue
      if (!stat.isDirectory()) found.push(entryOf(path, stat))
      else if ((layoutsAtTop || depth > 0) && (await isLayout(join(root, path)))) {
        const layout = await layoutEntry(root, path, stat)
        if (layout !== undefined) found.push(layout)
      } else if (depth < maxDepth) await visit(path, depth + 1)
    }
  }
  await visit('', 0)
  return found
}

/** Undefined: it is not there any more. */
export async function findEntry(root: string, path: string): Promise<Entry | undefined> {
  const stat = await lstat(join(root, path)).catch(ignoreMissing)
  if (stat === undefined) return undefined
  return stat.isDirectory() ? layoutEntry(root, path, stat) : entryOf(path, stat)
}

function entryOf(path: string, stat: Stats): Entry {
  const { ino, dev, size, mtimeMs } = stat
  return {
    path,
    kind: stat.isFile() ? 'file' : 'other',
    size,
    modified: mtimeMs,
    identity: [dev, ino, size, mtimeMs].join(' '),
  }
}

async function isLayout(directory: string): Promise<boolean> {
  const stat = await lstat(join(directory, 'oci-layout')).catch(() => undefined)
  return stat?.isFile() === true
}

/**
 * The newest and the sum of all files in it. It is removed as a whole, so with files that do not belong to a
 * layout it is not one. Undefined: it has files that are still being written.
 */
async function layoutEntry(root: string, path: string, stat: Stats): Promise<Entry | undefined> {
  const directory = join(root, path)
  let size = 0
  let modified = stat.mtimeMs
  const files = await filesBelow(directory)
  for (const file of files) {
    const found = await lstat(file).catch(ignoreMissing)
    size += found?.size ?? 0
    modified = Math.max(modified, found?.mtimeMs ?? 0)
  }
  const identity = [stat.dev, stat.ino, files.length, size, modified].join(' ')
  const names = files.map((file) => file.slice(directory.length + 1))
  if (names.some((name) => name.split('/').some(isUnfinished))) return undefined
  const isPure = names.every((name) => ofLayout.test(name))
  return { path, kind: isPure ? 'layout' : 'other', size, modified, identity }
}

const ofLayout =
  /^(?:oci-layout|index\.json|manifest\.json|repositories|blobs\/[a-z0-9]+\/[a-f0-9]+)$/

/**
 * Paths of all that is not a directory. Links are not followed: without `withFileTypes`, `readdir` would
 * follow them out of the spool.
 */
export async function filesBelow(directory: string): Promise<readonly string[]> {
  const options = { recursive: true, withFileTypes: true } as const
  const found = (await readdir(directory, options).catch(ignoreMissing)) ?? []
  return found
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => join(parentPath, name))
}

/** Files may go at any time. */
function ignoreMissing(error: unknown): undefined {
  if (['ENOENT', 'ENOTDIR'].includes(codeOf(error))) return undefined
  throw error
}
