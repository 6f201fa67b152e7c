import type { Telemetry } from '../telemetry/telemetry.ts'
import { createBlobReader } from './blob-reader.ts'
import type { BlobSource } from './blob-store.ts'

type DiskBlobsOptions = { readonly root: string; readonly telemetry: Telemetry }

/**
 * Blobs on a disk that is not ours to tidy: a Distribution volume, or hosted data. What has rotted
 * is told, and left.
 */
export function createDiskBlobs({ root, telemetry }: DiskBlobsOptions): BlobSource {
  return createBlobReader({
    root,
    trustsSizes: true,
    onRot: async (digest, reason) => {
      telemetry.log.error({ digest, reason, directory: root }, 'hosted blob is corrupt')
    },
    onUse: () => {},
    pin: () => () => {},
  })
}
