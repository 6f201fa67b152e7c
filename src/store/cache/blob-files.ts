import type { Place } from './place-blob.ts'
import type { StorageFailures } from './storage-failures.ts'

/** Creates files for blobs of the cache. `what`: completes "cannot store …". */
export type CreateFile = <File>(
  what: string,
  create: (place: Place) => Promise<File | undefined>,
) => Promise<File | undefined>

/** Files are undefined when there is no room, and for a while after the disk failed. */
export function createBlobFiles(
  place: Omit<Place, 'onFailure'>,
  failures: StorageFailures,
): CreateFile {
  return async (what, create) => {
    if (failures.isPaused()) return undefined
    try {
      const onFailure = (error: unknown) => failures.report(error, `store ${what}`)
      const file = await create({ ...place, onFailure })
      failures.clear()
      return file
    } catch (error) {
      failures.report(error, `create a file for ${what}`)
      return undefined
    }
  }
}
