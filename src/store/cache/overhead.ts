import { lstat } from 'node:fs/promises'
import { diskUse } from '../files.ts'

/** Disk use of the cache besides blobs: shared directories, and files of the cache itself. */
export interface Overhead {
  /** Measures paths again; they may be missing. */
  measure(...paths: readonly string[]): Promise<void>
}

export function createOverhead(onChange: (bytes: number) => void): Overhead {
  const sizes = new Map<string, number>()
  let total = 0

  let lastMeasurement = Promise.resolve()

  const measureNow = async (paths: readonly string[]): Promise<void> => {
    for (const path of paths) {
      const size = await lstat(path).then(diskUse, () => 0)
      total += size - (sizes.get(path) ?? 0)
      if (size > 0) sizes.set(path, size)
      else sizes.delete(path)
    }
    onChange(total)
  }

  return {
    // One after another: of two concurrent measurements, the older one could report last.
    measure: (...paths) => {
      lastMeasurement = lastMeasurement.then(() => measureNow(paths))
      return lastMeasurement
    },
  }
}
