import { randomUUID } from 'node:crypto'
import { link, lstat, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** After a power loss, a rename without this may be undone (cases.md, T15). */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Replaces a JSON file in one step. `temporary` is on the same file system. */
export async function writeRecord(path: string, record: unknown, temporary: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const file = join(temporary, `${randomUUID()}.tmp`)
  try {
    const handle = await open(file, 'wx')
    try {
      await handle.writeFile(`${JSON.stringify(record)}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(file, path)
    await syncDirectory(dirname(path))
  } finally {
    await rm(file, { force: true })
  }
}

/** Undefined if there is none, or it is not JSON. */
export async function readRecord(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
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

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
