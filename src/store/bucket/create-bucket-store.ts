import { stat } from 'node:fs/promises'
import { LRUCache } from 'lru-cache'
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
import { maxInBackground, splitRequests } from './background-requests.ts'
import { createBucketBlobs } from './bucket-blobs.ts'
import { createBucketLinks } from './bucket-links.ts'
import { createBucketReading, type Redirects } from './bucket-reading.ts'
import { createBucketTags } from './bucket-tags.ts'
import { createBucketTrash } from './bucket-trash.ts'
import { createMarks } from './marks.ts'
import { createRecognizedBucket } from './recognized-bucket.ts'

const maxCorrupt = 10_000

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
  const { prefix: root, directory, cache, telemetry, onRestored = () => {} } = options
  const temporary = createTemporary(directory)
  const { readOnly = false, uptime = () => performance.now(), redirects } = options
  const recognized = createRecognizedBucket({ ...options, root, readOnly })
  const { objects } = recognized
  const access = readOnly
    ? denyWrites('storage.hosted.readOnly is set')
    : await createWriteAccess({
        root: directory,
        temporary,
        createRoot: () => makeDirectory(directory),
        telemetry,
      })
  const corrupt = new LRUCache<Digest, true>({ max: maxCorrupt })
  const partsOn = (objects: ObjectStore) => {
    const marks = createMarks({ objects, root, uptime, onRestored })
    const tags = createBucketTags({ objects, root })
    const trash = createBucketTrash({ objects, root, access, marks, tags })
    const stored = createBucketBlobs({
      ...{ objects, root, access, marks, cache, corrupt, readOnly, telemetry },
    })
    const subjectOf = (manifest: Digest) => readSubject(stored.blobs, manifest)
    const links = createBucketLinks({ objects, root, directory, access, trash, tags, subjectOf })
    return { stored, links, trash }
  }
  const { forClients, inBackground } = splitRequests(objects)
  const { stored, trash, ...parts } = partsOn(forClients)
  const background = partsOn(inBackground)
  const { blobs, links, reading } = createBucketReading({
    ...{ blobs: stored.blobs, cache, root, redirects },
    ...{ fetch: stored.fetch, openKnown: stored.openKnown, readKnown: stored.readKnown },
    links: parts.links,
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
    scanning: {
      blobs: {
        ...background.stored.blobs,
        list: () => recognized.whole(background.stored.blobs.list()),
      },
      links: { ...background.links, names: () => recognized.whole(background.links.names()) },
      width: maxInBackground,
      confirm: recognized.confirm,
    },
    uploads: { ...uploads, purge: (before) => abortUploads(objects, root, before) },
    trash,
    problem: () => objects.problem() ?? access.problem(),
    close: async () => {
      await uploads.close()
      await stored.close()
      await access.close()
      await recognized.close()
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
