import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** The code of a system call's failure, such as ENOENT. */
export function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

export function isMissing(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(errnoOf(error))
}

/**
 * Opens a regular file to read. A FIFO does not block, a symbolic link is not followed (someone
 * else's file could be behind it), and whatever is no regular file is `strange`.
 */
export async function openRegular(path: string): Promise<FileHandle | 'missing' | 'strange'> {
  let handle: FileHandle
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (isMissing(error)) return 'missing'
    if (['ELOOP', 'ENXIO', 'EISDIR'].includes(errnoOf(error))) return 'strange'
    throw error
  }
  if ((await handle.stat()).isFile()) return handle
  await handle.close()
  return 'strange'
}

/** Replaces a small file in one step: readers see the old text or the new, never a part. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = join(dirname(path), `.${randomUUID()}`)
  await mkdir(dirname(path), { recursive: true })
  try {
    await writeFile(temporary, text, { flag: 'wx' })
    await rename(temporary, path)
  } finally {
    await rm(temporary, { force: true })
  }
}

/** Writes all of `chunks` at `position`; the system may take less than it is given. */
export async function writeAll(
  handle: FileHandle,
  chunks: readonly Buffer[],
  position: number,
): Promise<void> {
  let rest = chunks.filter((chunk) => chunk.length > 0)
  let at = position
  while (rest.length > 0) {
    const { bytesWritten } = await handle.writev(rest.slice(0, mostVectors), at)
    at += bytesWritten
    rest = withoutFirst(rest, bytesWritten)
  }
}

/** IOV_MAX of Linux. */
const mostVectors = 1024

function withoutFirst(chunks: readonly Buffer[], bytes: number): Buffer[] {
  let skip = bytes
  return chunks.flatMap((chunk) => {
    const taken = Math.min(skip, chunk.length)
    skip -= taken
    return taken === chunk.length ? [] : [chunk.subarray(taken)]
  })
}
