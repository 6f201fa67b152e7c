import { type BigIntStats, fstatSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'

/** Milliseconds for which a kernel answers from memory, without a question to a server (NFS, FUSE). */
const maxAge = 500

/** The status of an open file, now. */
export type FileStatus = () => BigIntStats | Promise<BigIntStats>

/**
 * For a file that was just opened. Soon after the last answer the status is in memory, and a thread of the
 * pool would cost more; later it is asked for in one, because a server that hangs would hold the event loop.
 */
export function createFileStatus(file: FileHandle): FileStatus {
  let known = performance.now()
  return () => {
    const now = performance.now()
    if (now < known + maxAge) return fstatSync(file.fd, { bigint: true })
    return file.stat({ bigint: true }).then((stat) => {
      known = now
      return stat
    })
  }
}

/** Whether an open file still has a name: a removed file has none. */
export function hasName(fd: number): boolean {
  return fstatSync(fd).nlink > 0
}
