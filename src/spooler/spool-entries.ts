import type { Stats } from 'node:fs'
import { lstat, opendir } from 'node:fs/promises'
import { basename } from 'node:path'
import { inDirectory, type OpenDirectory } from '../input/input.ts'
import { codeOf, parentOf } from './durable-files.ts'
import { examineLayout } from './examine-layout.ts'
import { doneDirectory, failedDirectory, isUnfinished, stateDirectory } from './spool-names.ts'

/** A file in the spool. A directory that is an OCI layout counts as one file. */
export type Entry = {
  /** Below the spool, with `/`. */
  readonly path: string
  readonly kind: 'file' | 'layout' | 'other'
  /** Of `other`: why it cannot be pushed. Of a layout: why it is not complete, if so. */
  readonly reason?: string
  /** Bytes. */
  readonly size: number
  /** Of the last change of the content, in milliseconds since the epoch. */
  readonly modified: number
  /** Equal as long as neither the file nor its content is another one. */
  readonly identity: string
  /** The user ID; undefined if the files of a layout have several. */
  readonly owner: number | undefined
}

const maxDepth = 16
/**
 * Entries of one scan, and of one directory, so that one which is full of files that cannot be pushed does not hide the
 * others. The rest is seen when these have left.
 */
const maxEntries = 100_000
const maxOfDirectory = 20_000

const reserved = [failedDirectory, doneDirectory, stateDirectory]

type ListOptions = {
  /** Whether a directory at the top may be a layout: not if it belongs to several files of a user. */
  readonly layoutsAtTop?: boolean | undefined
  /** Of one directory, which cannot be read (without this, it is thrown), or is too deep, or of one name. */
  readonly onError?: (error: unknown) => void
}

/** All entries that are not marked as unfinished. No link is followed. */
export async function listEntries(
  root: string,
  { layoutsAtTop = true, onError }: ListOptions = {},
): Promise<readonly Entry[]> {
  const found: Entry[] = []

  const visit = async (directory: OpenDirectory, path: string, depth: number): Promise<void> => {
    let visited = 0
    for await (const { name } of await opendir(directory.at())) {
      if (isUnfinished(name) || (path === '' && reserved.includes(name))) continue
      if (visited >= maxOfDirectory || found.length >= maxEntries) return
      visited += 1
      await visitEntry(directory, { name, path: path === '' ? name : `${path}/${name}`, depth })
    }
  }

  type Place = { readonly name: string; readonly path: string; readonly depth: number }
  const visitEntry = async (parent: OpenDirectory, { name, path, depth }: Place): Promise<void> => {
    const stat = await lstat(parent.at(name)).catch(ignoreMissing)
    // Without this, nobody learns that it is never pushed. Others have left meanwhile.
    if (stat === undefined && name.includes('\uFFFD'))
      onError?.(new Error(`the name ${JSON.stringify(path)} in the spool is not UTF-8; rename it`))
    if (stat === undefined) return
    if (!stat.isDirectory()) {
      found.push(entryOf(path, stat))
      return
    }
    await visitDirectory(parent, { name, path, depth })
      .catch(ignoreMissing)
      .catch(onError ?? raise)
  }

  const visitDirectory = async (parent: OpenDirectory, { name, path, depth }: Place) => {
    const directory = await parent.enter(name)
    if (directory === undefined) return
    try {
      if ((layoutsAtTop || depth > 0) && (await isLayout(directory)))
        found.push(await layoutEntry(path, directory))
      else if (depth < maxDepth) await visit(directory, path, depth + 1)
      else
        onError?.(
          new Error(
            `${JSON.stringify(path)} is below ${maxDepth} directories of the spool, and nothing in it is pushed; move it up`,
          ),
        )
    } finally {
      await directory.close()
    }
  }

  await inDirectory({ root, path: '' }, (top) => visit(top, '', 0))
  return found
}

/** Undefined: it is not there any more. */
export function findEntry(root: string, path: string): Promise<Entry | undefined> {
  return inDirectory({ root, path: parentOf(path) }, async (parent) => {
    const name = basename(path)
    const stat = await lstat(parent.at(name)).catch(ignoreMissing)
    if (stat?.isDirectory() !== true) return stat && entryOf(path, stat)
    const directory = await parent.enter(name)
    try {
      return directory && (await layoutEntry(path, directory))
    } finally {
      await directory?.close()
    }
  })
}

function entryOf(path: string, stat: Stats): Entry {
  const { ino, dev, size, mtimeMs, uid } = stat
  const common = { path, size, modified: mtimeMs, owner: uid }
  const identity = [dev, ino, size, mtimeMs, uid].join(' ')
  return stat.isFile()
    ? { ...common, kind: 'file', identity }
    : { ...common, kind: 'other', identity, reason: 'neither a file nor an OCI layout' }
}

async function isLayout(directory: OpenDirectory): Promise<boolean> {
  const stat = await lstat(directory.at('oci-layout')).catch(() => undefined)
  return stat?.isFile() === true
}

/** It is removed as a whole, so with files that do not belong to a layout it is not one. */
async function layoutEntry(path: string, directory: OpenDirectory): Promise<Entry> {
  const { dev, ino } = await lstat(directory.at())
  const { files, size, modified, owners, foreign, unfinished } = await examineLayout(directory)
  const common = { path, size, modified, owner: owners.size === 1 ? [...owners][0] : undefined }
  const identity = [dev, ino, files, size, modified, ...owners].join(' ')
  if (foreign !== undefined) return { ...common, kind: 'other', identity, reason: foreign }
  return {
    ...common,
    kind: 'layout',
    identity,
    ...(unfinished !== undefined && { reason: unfinished }),
  }
}

function raise(error: unknown): never {
  throw error
}

/** Files may go at any time. */
function ignoreMissing(error: unknown): undefined {
  if (['ENOENT', 'ENOTDIR'].includes(codeOf(error))) return undefined
  throw error
}
