import { closeSync, constants, fsync as fsyncWithCallback, openSync } from 'node:fs'
import { promisify } from 'node:util'
import type { TaskLimit } from '../../memory/memory.ts'
import { errnoOf, isMissing } from '../files.ts'

/** The file system cannot sync directories, as in PostgreSQL's `fsync_fname_ext`. */
const unsupportedCodes = ['EBADF', 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']

const fsync = promisify(fsyncWithCallback)

/** Resolves when the entries that a directory has now are on disk. */
export type DirectorySync = (path: string) => Promise<void>

/**
 * Concurrent calls for one directory share an fsync. The danger: an fsync that has begun may miss a
 * later entry. So a call joins only an fsync that has not begun, and otherwise starts the next one.
 */
export function createDirectorySync(inTurn: TaskLimit): DirectorySync {
  const waiting = new Map<string, Promise<void>>()
  const latest = new Map<string, Promise<void>>()

  const start = async (path: string): Promise<void> => {
    await latest.get(path)?.catch(() => {})
    await inTurn(() => {
      waiting.delete(path)
      return syncDirectory(path)
    })
  }

  return (path) => {
    const shared = waiting.get(path)
    if (shared !== undefined) return shared
    const sync = start(path).finally(() => {
      if (latest.get(path) === sync) latest.delete(path)
    })
    waiting.set(path, sync)
    latest.set(path, sync)
    return sync
  }
}

/**
 * A directory that was removed meanwhile has no entries to keep. It was used just now, so that
 * opening it does not wait for the disk: two tasks fewer for Node's threads.
 */
async function syncDirectory(path: string): Promise<void> {
  const directory = openDirectory(path)
  if (directory === undefined) return
  try {
    await fsync(directory)
  } catch (error) {
    if (!unsupportedCodes.includes(errnoOf(error))) throw error
  } finally {
    closeSync(directory)
  }
}

function openDirectory(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}
