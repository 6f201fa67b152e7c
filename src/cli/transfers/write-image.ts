import { once } from 'node:events'
import { type FileHandle, open, realpath, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { UsageError } from '../process/errors.ts'

/**
 * Writes what a user names: a device, a FIFO or a socket is written into (`/dev/null`, `/dev/stdout`), a link
 * stays one. With `-`, standard output.
 *
 * The danger: a rename would replace `/dev/null` of a root user with a regular file.
 */
export async function writeChunks(
  chunks: AsyncIterable<Buffer>,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  if (path === '-') return writeToStdout(chunks)
  const existing = await stat(path).catch(missing)
  if (existing === undefined) return writeFileWhole(chunks, path, signal)
  if (existing.isFile()) return writeFileWhole(chunks, await realpath(path), signal)
  if (existing.isDirectory())
    throw new UsageError(`cannot write ${path}: it is a directory; name a file, or end it with /`)
  const file = await open(path, 'w')
  try {
    await appendAll(file, chunks, signal)
  } finally {
    await file.close()
  }
}

/** Writes a file that is complete under its name or not there: a new file beside it is renamed. */
export async function writeFileWhole(
  chunks: AsyncIterable<Buffer>,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`
  const file = await open(temporary, 'wx', 0o666).catch((cause: NodeJS.ErrnoException) => {
    throw cannotWrite(path, cause)
  })
  try {
    await appendAll(file, chunks, signal)
    await file.sync()
    await file.close()
    await rename(temporary, path)
    await syncDirectory(dirname(path))
  } catch (error) {
    await file.close().catch(() => {})
    await rm(temporary, { force: true })
    throw isOfFileSystem(error) ? cannotWrite(path, error) : error
  }
}

/** Its errors of the file system name the path. */
export async function writing<Result>(path: string, written: Promise<Result>): Promise<Result> {
  try {
    return await written
  } catch (error) {
    throw isOfFileSystem(error) ? cannotWrite(path, error) : error
  }
}

async function appendAll(
  file: FileHandle,
  chunks: AsyncIterable<Buffer>,
  signal: AbortSignal,
): Promise<void> {
  for await (const chunk of chunks) {
    signal.throwIfAborted()
    await file.appendFile(chunk)
  }
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

function isOfFileSystem(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && 'code' in error
}

function cannotWrite(path: string, cause: NodeJS.ErrnoException): UsageError {
  const { code = '' } = cause
  const reason = reasons[code] ?? cause.message
  return new UsageError(`cannot write ${path}: ${reason}`, { cause })
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'its directory does not exist; create it, or name another file',
  ENOTDIR: 'its directory is not a directory; name another file',
  EACCES: 'the directory is not writable for this user (EACCES); name another file',
  EROFS: 'its file system is read-only; name another file',
  ENOSPC: 'no space is left on its file system; free some, or name another file',
  EDQUOT: 'the disk quota of this user is used up; free some space, or name another file',
}

async function writeToStdout(chunks: AsyncIterable<Buffer>): Promise<void> {
  for await (const chunk of chunks)
    if (!process.stdout.write(chunk)) await once(process.stdout, 'drain')
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
