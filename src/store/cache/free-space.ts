import { statfs } from 'node:fs/promises'

/** The free space of the file system is read again at the latest after so many bytes. */
const maxCredit = 16 * 1024 * 1024

/**
 * The free space of the file system, less the bytes that are about to be written. Reading it for
 * each write would be slow: a part of it becomes credit.
 */
export interface FreeSpace {
  /** Bytes that the file system lacks for `bytes` more; negative when there is room. */
  shortage(bytes: number): Promise<number>
  /** Uses credit for `bytes`. False: there is not enough, and `shortage` has to be awaited. */
  useCredit(bytes: number): boolean
  /** These bytes are about to be written; the file system does not count them yet. */
  addUnwritten(bytes: number): void
  /** These bytes are on the disk now, or will not be written. */
  markWritten(bytes: number): void
}

type FreeSpaceOptions = {
  readonly directory: string
  /** Bytes that stay free, regardless of which program fills the file system. */
  readonly minimumFree: number
}

export function createFreeSpace({ directory, minimumFree }: FreeSpaceOptions): FreeSpace {
  let unwritten = 0
  /** Total bytes since the start. */
  let written = 0
  let credit = 0

  return {
    // Bytes written during the `statfs` may or may not be in its result; they are counted as not
    // in it.
    shortage: async (bytes) => {
      const before = written
      const free = await statfs(directory).then(
        ({ bavail, bsize }) => bavail * bsize,
        () => Number.POSITIVE_INFINITY,
      )
      const shortfall = minimumFree + unwritten + (written - before) - free
      credit = Math.min(-shortfall / 4, maxCredit)
      return shortfall + bytes
    },
    useCredit: (bytes) => {
      if (bytes > credit) return false
      credit -= bytes
      return true
    },
    addUnwritten: (bytes) => {
      unwritten += bytes
    },
    markWritten: (bytes) => {
      unwritten -= bytes
      written += bytes
    },
  }
}
