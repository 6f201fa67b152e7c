import { dirname } from 'node:path'
import { algorithmOf, type Digest, digestOf } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { BlobReader } from '../blob-reader.ts'
import { blobDirectory, blobPath } from '../paths.ts'
import { blobsIn, exists } from './directories.ts'
import type { DurableFiles } from './durable-files.ts'
import type { HostedBlobs } from './hosted-store.ts'
import type { TrashBin } from './trash.ts'
import type { WriteAccess } from './write-access.ts'

type HostedBlobsOptions = {
  readonly root: string
  readonly reader: BlobReader
  readonly files: DurableFiles
  readonly trash: TrashBin
  readonly access: WriteAccess
}

/** Blobs in Distribution's layout. */
export function createHostedBlobs(options: HostedBlobsOptions): HostedBlobs {
  const { root, reader, files, access, trash } = options

  /** Looks again if the blob was in the trash. */
  const orRestored = async <Found>(
    digest: Digest,
    look: () => Promise<Found | undefined>,
  ): Promise<Found | undefined> =>
    (await look()) ?? ((await isRestored(digest)) ? await look() : undefined)

  const isRestored = async (digest: Digest): Promise<boolean> =>
    !(await exists(blobPath(root, digest))) && (await trash.restoreBlob(digest))

  return {
    open: (digest, how) => orRestored(digest, () => reader.open(digest, how)),
    stat: (digest) => orRestored(digest, () => reader.stat(digest)),
    read: (digest, limit) => orRestored(digest, () => reader.read(digest, limit)),

    put: (digest, bytes) =>
      access.change(async () => {
        if (digestOf(bytes, algorithmOf(digest)) !== digest)
          throw new RegistryError('DIGEST_INVALID', { message: `the bytes are not ${digest}` })
        const stable = dirname(blobDirectory(root, digest))
        await files.writeFile({ to: blobPath(root, digest), stable, bytes, mode: 0o444 })
      }),

    isStored: (digest) => exists(blobPath(root, digest)),
    list: () => blobsIn(root),

    remove: async (digest, run) =>
      (await exists(blobPath(root, digest))) &&
      (await trash.take({ kind: 'blob', digest, size: 0 }, run, false)),
  }
}
