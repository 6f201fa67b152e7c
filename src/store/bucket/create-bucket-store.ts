import { stat } from 'node:fs/promises'
import type { Digest } from '../../oci/digest.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import type { BlobCache } from '../blob-store.ts'
import { makeDirectory } from '../files.ts'
import type { BlobPlace } from '../hosted/blob-place.ts'
import type { HostedStore } from '../hosted/hosted-store.ts'
import { readSubject } from '../hosted/read-subject.ts'
import { createSyncing } from '../hosted/syncing.ts'
import { createUploads } from '../hosted/uploads.ts'
import { createWriteAccess, denyWrites } from '../hosted/write-access.ts'
import { type ObjectStore, ObjectStoreError } from '../object-store.ts'
import { blobsDirectory } from '../paths.ts'
import { createTemporary } from '../temporary.ts'
import { createBucketBlobs } from './bucket-blobs.ts'
import { createBucketLinks } from './bucket-links.ts'
import { createBucketReading, type Redirects } from './bucket-reading.ts'
import { createBucketTags } from './bucket-tags.ts'
import { createBucketTrash } from './bucket-trash.ts'
import { createMarks } from './marks.ts'

type BucketStoreOptions = {
  readonly objects: ObjectStore
  /** Before all keys, without a slash at its end: the `rootdirectory` of Distribution. */
  readonly prefix: string
  /** A local directory for upload sessions. Need not exist. */
  readonly directory: string
  /** The local disk, from which blobs are read. The caller closes it. */
  readonly cache: BlobCache
  /** Clients may read large blobs from the bucket. */
  readonly redirects?: Redirects | undefined
  /** This process must not write to the bucket. */
  readonly readOnly?: boolean
  readonly telemetry: Telemetry
  /** Milliseconds since any fixed time. */
  readonly uptime?: () => number
  /** A blob came back from the trash because it was read or pushed. `size` in bytes. */
  readonly onRestored?: (digest: Digest, size: number) => void
}

/**
 * A bucket in the layout of Distribution, which several processes may write. Bytes land on the local
 * disk, are verified there, and go up in one conditional write to their final key.
 */
export async function createBucketStore(options: BucketStoreOptions): Promise<HostedStore> {
  const { objects, prefix: root, directory, cache, telemetry, onRestored = () => {} } = options
  const temporary = createTemporary(directory)
  const { readOnly = false, uptime = () => performance.now(), redirects } = options
  const access = readOnly
    ? denyWrites('storage.hosted.readOnly is set')
    : await createWriteAccess({
        root: directory,
        temporary,
        createRoot: () => makeDirectory(directory),
        telemetry,
      })
  const marks = createMarks({ objects, root, uptime, onRestored })
  const tags = createBucketTags({ objects, root })
  const trash = createBucketTrash({ objects, root, access, marks, tags })
  const stored = createBucketBlobs({
    ...{ objects, root, access, marks, cache, readOnly, telemetry },
  })
  const subjectOf = (manifest: Digest) => readSubject(stored.blobs, manifest)
  const { blobs, links, reading } = createBucketReading({
    ...{ blobs: stored.blobs, openKnown: stored.openKnown, cache, root, redirects },
    links: createBucketLinks({ objects, root, directory, access, trash, tags, subjectOf }),
  })
  const place: BlobPlace = {
    change: access.change,
    install: async ({ digest, path, checksums }) => {
      const { size } = await stat(path)
      await stored.store(digest, size, { path, size })
      await cache.adopt(digest, { path, size, checksums })
    },
    trust: () => {},
    isDurable: async () => false,
  }
  const uploads = createUploads({ root: directory, syncing: createSyncing(), place })

  return {
    blobs,
    links,
    reading,
    uploads: { ...uploads, purge: (before) => abortUploads(objects, root, before) },
    trash,
    problem: () => access.problem() ?? objects.problem(),
    close: async () => {
      await uploads.close()
      await stored.close()
      await access.close()
    },
  }
}

/** Without the permission to list them, this is left to a lifecycle rule of the bucket. */
async function abortUploads(objects: ObjectStore, root: string, before: number): Promise<number> {
  try {
    return (await objects.abortUploads?.(`${blobsDirectory(root)}/`, before)) ?? 0
  } catch (error) {
    if (error instanceof ObjectStoreError && error.failure === 'denied') return 0
    throw error
  }
}
