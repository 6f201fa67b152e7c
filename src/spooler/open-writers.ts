import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { createRequire } from 'node:module'

/** Whether a process has the file open for writing; `unknown` if the system does not say. */
export type HasWriter = (path: string) => Promise<boolean | 'unknown'>

/** fcntl(2) */
const setLease = 1024
const readLease = 0
const unlock = 2
const tryAgain = 11

/**
 * The kernel grants a read lease only on a file that nobody has open for writing (fcntl(2), F_SETLEASE).
 * So a slow writer is noticed, however long it pauses. It needs Linux, a local file system, and a file of
 * our own user.
 */
export function loadHasWriter(): HasWriter {
  try {
    return bind()
  } catch {
    return async () => 'unknown'
  }
}

function bind(): HasWriter {
  if (process.platform !== 'linux') throw new Error('needs Linux')
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
  const fcntl = koffi.load(null).func('int fcntl(int fd, int command, ...)')
  return async (path) => {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
    const file = await open(path, flags)
    try {
      const isGranted = fcntl(file.fd, setLease, 'int', readLease) === 0
      if (!isGranted) return koffi.errno() === tryAgain ? true : 'unknown'
      fcntl(file.fd, setLease, 'int', unlock)
      return false
    } finally {
      await file.close()
    }
  }
}
