import type { Digest } from '../../oci/digest.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { createBlobReader } from '../blob-reader.ts'
import { createTemporary } from '../temporary.ts'
import { createBlobPlace } from './blob-place.ts'
import { createDurableFiles } from './durable-files.ts'
import { createHostedBlobs } from './hosted-blobs.ts'
import { createHostedLinks } from './hosted-links.ts'
import type { HostedStore } from './hosted-store.ts'
import { readSubject } from './read-subject.ts'
import { createSyncing } from './syncing.ts'
import { createTrash } from './trash.ts'
import { createUploads } from './uploads.ts'
import { createWriteAccess, denyWrites } from './write-access.ts'

type HostedStoreOptions = {
  /** Need not exist. */
  readonly root: string
  /** This process must not write to the volume; another one may. */
  readonly readOnly?: boolean
  readonly telemetry: Telemetry
  /** A blob came back from the trash because it was read. `size` in bytes. */
  readonly onRestored?: (digest: Digest, size: number) => void
}

/**
 * A volume in the layout of Distribution. Nothing is written to it before the first change.
 */
export async function createHostedStore(options: HostedStoreOptions): Promise<HostedStore> {
  const { root, readOnly = false, telemetry, onRestored = () => {} } = options
  const temporary = createTemporary(root)
  const syncing = createSyncing()
  const files = createDurableFiles({ root, temporary, syncing })
  const access = readOnly
    ? denyWrites('storage.hosted.readOnly is set')
    : await createWriteAccess({
        root,
        temporary,
        createRoot: () => files.directory(root),
        telemetry,
      })
  const trash = createTrash({ root, files, syncing, temporary, access, onRestored })
  const reader = createBlobReader({
    root,
    trustsSizes: true,
    // It is not removed: the next push of the blob repairs it.
    onCorrupt: async (digest, reason) => {
      telemetry.log.error({ digest, reason, directory: root }, 'hosted blob is corrupt')
    },
    onUse: () => {},
    pin: () => () => {},
  })
  const place = createBlobPlace({ root, files, temporary, access, onTrust: reader.trust })
  const blobs = createHostedBlobs({ root, reader, files, access, trash })
  const subjectOf = (manifest: Digest) => readSubject(reader, manifest)
  const uploads = createUploads({ root, syncing, place })

  return {
    blobs,
    links: createHostedLinks({ root, files, syncing, trash, access, subjectOf }),
    uploads,
    trash,
    problem: access.problem,
    close: async () => {
      await uploads.close()
      await reader.close()
      await access.close()
    },
  }
}
