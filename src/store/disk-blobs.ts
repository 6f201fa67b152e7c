import type { Telemetry } from '../telemetry/telemetry.ts'
import { createBlobReader } from './blob-reader.ts'
import type { BlobSource } from './blob-store.ts'

type DiskBlobsOptions = { readonly root: string; readonly telemetry: Telemetry }

/**
 * Blobs on a disk that Berth must not modify: a Distribution volume, or hosted data. A corrupt blob
 * is reported, and not removed.
 */
export function createDiskBlobs({ root, telemetry }: DiskBlobsOptions): BlobSource {
  return createBlobReader({
    root,
    trustsSizes: true,
    onCorrupt: async (digest, reason) => {
      telemetry.log.error({ digest, reason, directory: root }, 'hosted blob is corrupt')
    },
    onUse: () => {},
    pin: () => () => {},
  })
}
