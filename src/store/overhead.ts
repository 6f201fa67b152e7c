import { lstat } from 'node:fs/promises'
import { diskUse } from './files.ts'

/** What the cache uses on the disk beside blobs: directories that they share, and files of ours. */
export interface Overhead {
  /** Looks at paths again, which may be gone. */
  measure(...paths: readonly string[]): Promise<void>
}

export function createOverhead(onChange: (bytes: number) => void): Overhead {
  const sizes = new Map<string, number>()
  let total = 0

  let turn = Promise.resolve()

  const look = async (paths: readonly string[]): Promise<void> => {
    for (const path of paths) {
      const size = await lstat(path).then(diskUse, () => 0)
      total += size - (sizes.get(path) ?? 0)
      if (size > 0) sizes.set(path, size)
      else sizes.delete(path)
    }
    onChange(total)
  }

  return {
    // In turn: of two looks at the same time the older one could be the last to tell.
    measure: (...paths) => {
      turn = turn.then(() => look(paths))
      return turn
    },
  }
}
