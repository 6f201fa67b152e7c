import { constants, fstatSync, type Stats } from 'node:fs'
import { type FileHandle, mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type Chunks, withoutFirst } from '../memory/memory.ts'

/** The error code of a failed system call, such as ENOENT. */
export function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

/** The file system, or the quota of the user, is full. */
export function isDiskFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(errnoOf(error))
}

export function isMissing(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(errnoOf(error))
}

/**
 * Disk use of a file or directory in bytes, as du(1) counts it: in blocks. When the file system has
 * not allocated blocks yet (ZFS), the length of the file counts.
 */
export function diskUse(stat: Pick<Stats, 'blocks' | 'size' | 'isDirectory'>): number {
  return Math.max(stat.blocks * 512, stat.isDirectory() ? 0 : stat.size)
}

/**
 * Creates a directory and its parents. The `recursive` option of Node loops forever where the
 * system returns ENOENT although the parent exists, as in /proc.
 */
export async function makeDirectory(path: string): Promise<void> {
  try {
    return await makeOne(path)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
  await makeDirectory(dirname(path))
  await makeOne(path)
}

/** Another process may have created the directory already, and may remove it again at once. */
async function makeOne(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST' || (await isNotDirectory(path))) throw error
  }
}

async function isNotDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => !found.isDirectory(),
    () => false,
  )
}

/**
 * Opens a regular file for reading. A FIFO does not block, a symbolic link is not followed (it
 * could point to a file of another owner), and anything but a regular file is `not-regular`.
 */
export async function openRegular(path: string): Promise<FileHandle | 'missing' | 'not-regular'> {
  let handle: FileHandle
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (isMissing(error)) return 'missing'
    if (['ELOOP', 'ENXIO', 'EISDIR'].includes(errnoOf(error))) return 'not-regular'
    throw error
  }
  // The status of an open file is in memory: to wake a thread of the pool costs far more.
  if (fstatSync(handle.fd).isFile()) return handle
  await handle.close()
  return 'not-regular'
}

/**
 * Returns the number of bytes read at a position; 0 at the end. A part of the disk that cannot be
 * read any more (EIO) ends the file as if it were truncated there: its digest does not match.
 */
export async function readOrEnd(
  file: FileHandle,
  buffer: Buffer,
  position: number,
): Promise<number> {
  const read = await file.read(buffer, 0, buffer.length, position).catch(undefinedIfUnreadable)
  return read?.bytesRead ?? 0
}

/** Undefined for EIO, which means that a part of the file cannot be read any more. */
export function undefinedIfUnreadable(error: unknown): undefined {
  if (errnoOf(error) !== 'EIO') throw error
  return undefined
}

type WriteOptions = {
  /** Directory for the temporary file: on the same file system, and cleaned up after a kill. */
  readonly temporary: string
  readonly path: string
  readonly text: string
}

/** Replaces a small file in one step: readers see the old text or the new text, never a part. */
export async function writeWhole({ temporary, path, text }: WriteOptions): Promise<void> {
  try {
    await writeFile(temporary, text, { flag: 'wx' })
    await makeDirectory(dirname(path))
    await rename(temporary, path)
  } finally {
    await rm(temporary, { force: true })
  }
}

/** Buffers of one system call: IOV_MAX of Linux. */
const maxVectors = 1024

/** Writes all of `chunks` at `position`; one system call may write fewer bytes than requested. */
export async function writeAll(
  handle: FileHandle,
  chunks: Chunks,
  position: number,
): Promise<void> {
  let rest = withoutFirst(chunks, 0)
  for (let at = position; rest.length > 0; ) {
    const { bytesWritten } = await handle.writev(rest.slice(0, maxVectors), at)
    at += bytesWritten
    rest = withoutFirst(rest, bytesWritten)
  }
}
