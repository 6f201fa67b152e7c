import { randomUUID } from 'node:crypto'
import { link, lstat, open, readdir, rename, rm, rmdir } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { inDirectory, type OpenDirectory, readRegularFile } from '../input/input.ts'

/** After a power loss, a rename without this may be undone (cases.md, T15). */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

type Place = {
  readonly root: string
  /** Of the file, below the root. */
  readonly path: string
  /** Of temporary files, below the root. */
  readonly temporary: string
}

/**
 * Replaces a JSON file in one step; creates its directory.
 * @throws Error if a part of the path is a link or a file.
 */
export async function writeRecord(place: Place, record: unknown): Promise<void> {
  const { root, path, temporary } = place
  const content = `${JSON.stringify(record)}\n`
  const name = `.${randomUUID()}.tmp`
  const written = await inDirectory({ root, path: temporary, create: true }, async (parent) => {
    try {
      await writeNew(parent.at(name), content)
      return await inNewDirectory({ root, path }, async (directory, base) => {
        await rename(parent.at(name), directory.at(base))
        await directory.sync()
        return true
      })
    } finally {
      await rm(parent.at(name), { force: true })
    }
  })
  if (written === undefined) throw new Error(`${temporary} is not a directory`)
}

/** A file that must not exist; nothing is left of it if the disk is full. */
export async function writeNew(path: string, content: string): Promise<void> {
  const handle = await open(path, 'wx')
  try {
    await handle.writeFile(content)
    await handle.sync()
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    await handle.close()
  }
}

/**
 * Opens the directory of a path below the root, and creates it if it is missing.
 * @throws Error if a part of the path is a link or a file.
 */
export async function inNewDirectory<Result>(
  { root, path }: Pick<Place, 'root' | 'path'>,
  use: (directory: OpenDirectory, base: string) => Promise<Result>,
): Promise<Result> {
  const parent = parentOf(path)
  const done = await inDirectory({ root, path: parent, create: true }, async (directory) => ({
    result: await use(directory, basename(path)),
  }))
  if (done === undefined)
    throw new Error(`${parent} in the spool is, or is below, a link or a file`)
  return done.result
}

/** The directory of a path below the spool; empty at the top. */
export function parentOf(path: string): string {
  return path.includes('/') ? dirname(path) : ''
}

/** Undefined if there is none, or it is not JSON in a regular file: a FIFO is not opened for ever. */
export async function readRecord(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readRegularFile(path))
  } catch {
    return undefined
  }
}

/**
 * Moves a file without replacing another one, unlike `rename`. A directory has no links, so it is renamed,
 * which fails if there is a file or a directory that is not empty.
 * @returns False if the name is taken.
 */
export async function moveWithoutReplacing(
  from: string,
  to: string,
  isDirectory: boolean,
): Promise<boolean> {
  try {
    if (isDirectory) await rename(from, to)
    else await moveByLink(from, to)
  } catch (error) {
    if (taken.includes(codeOf(error))) return false
    throw error
  }
  await syncDirectory(dirname(to))
  return true
}

const taken = ['EEXIST', 'ENOTEMPTY', 'ENOTDIR']
/** A file, or a directory with all that is in it. No link is followed, even if the directory changes meanwhile. */
export async function removeTree(parent: OpenDirectory, name: string): Promise<void> {
  const directory = await parent.enter(name)
  if (directory === undefined) return rm(parent.at(name), { force: true })
  try {
    for (const each of await readdir(directory.at())) await removeTree(directory, each)
  } finally {
    await directory.close()
  }
  await rmdir(parent.at(name))
}

/** Of file systems without links, and of files of other users (`fs.protected_hardlinks`). */
const noLinks = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK', 'ENOSYS']

async function moveByLink(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    if (!noLinks.includes(codeOf(error))) throw error
    if ((await lstat(to).catch(() => undefined)) !== undefined)
      throw Object.assign(new Error(`${to} exists`), { code: 'EEXIST' })
    return rename(from, to)
  }
  await rm(from)
}

/** The disk, or the quota of the user, has no room. */
export function isFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(codeOf(error))
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
