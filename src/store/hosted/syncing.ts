import type { FileHandle } from 'node:fs/promises'
import { limitTasks } from '../../memory/memory.ts'
import { createDirectorySync } from './directory-sync.ts'
import { writeNewFile } from './small-file.ts'

/** Node has four threads for files, and an fsync occupies one: reads need one as well. */
const maxSyncs = 3

/** All that waits for the disk. */
export interface Syncing {
  file(file: FileHandle): Promise<void>
  /** Creates a small file. */
  writeFile(file: {
    readonly path: string
    readonly bytes: Buffer
    readonly mode?: number
  }): Promise<void>
  directories(paths: Iterable<string>): Promise<void>
  /**
   * Writes out the bytes of a file that grows. Undefined if another file is: it would occupy one
   * more thread.
   */
  tryWriteBack(file: FileHandle): Promise<void> | undefined
}

export function createSyncing(): Syncing {
  const inTurn = limitTasks(maxSyncs)
  const syncDirectory = createDirectorySync(inTurn)
  let isWritingBack = false

  return {
    file: (file) => inTurn(() => file.sync()),
    writeFile: (file) => writeNewFile({ ...file, inTurn }),

    directories: async (paths) => {
      await Promise.all(Array.from(paths, syncDirectory))
    },

    tryWriteBack: (file) => {
      if (isWritingBack) return undefined
      isWritingBack = true
      return inTurn(() => file.datasync()).finally(() => {
        isWritingBack = false
      })
    },
  }
}
