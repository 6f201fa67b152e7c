import type { LRUCache } from 'lru-cache'
import { algorithmOf, type Digest, digestOf } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import type { BlobCache } from '../blob-store.ts'
import type { HostedBlobs } from '../hosted/hosted-store.ts'
import type { WriteAccess } from '../hosted/write-access.ts'
import type { ObjectSource, ObjectStore } from '../object-store.ts'
import { blobPath, blobsDirectory } from '../paths.ts'
import { digestOfData } from './bucket-keys.ts'
import { createBucketReader } from './bucket-reader.ts'
import type { Marks } from './marks.ts'
import { readObject } from './read-object.ts'

/** After a write that took longer, in milliseconds, the blob may have been removed meanwhile. */
const maxUnseen = 60_000

type BucketBlobsOptions = {
  readonly objects: ObjectStore
  readonly root: string
  readonly access: WriteAccess
  readonly marks: Marks
  readonly cache: BlobCache
  /** Written again by their next push. */
  readonly corrupt: Pick<LRUCache<Digest, true>, 'has' | 'set' | 'delete'>
  readonly readOnly: boolean
  readonly telemetry: Telemetry
}

/** Blobs in Distribution's layout. */
export function createBucketBlobs(options: BucketBlobsOptions) {
  const { objects, root, access, marks, cache, corrupt, readOnly, telemetry } = options

  const reader = createBucketReader({
    ...options,
    onCorrupt: (digest, reason) => {
      corrupt.set(digest, true)
      telemetry.log.error({ digest, reason, bucket: objects.name }, 'hosted blob is corrupt')
    },
  })

  /** Before its bytes are looked for: without a mark, nobody is about to delete what is found then. */
  const restore = async (digest: Digest): Promise<void> => {
    if (!readOnly) await marks.restore(digest)
  }

  /** Its size, once it is not in the trash. */
  const find = async (digest: Digest): Promise<number | undefined> => {
    await restore(digest)
    return (await objects.head(blobPath(root, digest)))?.size
  }

  /** Of a blob that is not in the trash, nor on the disk. */
  const readKnown: HostedBlobs['read'] = async (digest, limit) => {
    const bytes = await readObject(objects, blobPath(root, digest), limit)
    if (bytes === undefined) return undefined
    if (digestOf(bytes, algorithmOf(digest)) !== digest) {
      corrupt.set(digest, true)
      telemetry.log.error({ digest, bucket: objects.name }, 'hosted blob is corrupt')
      return undefined
    }
    await cache.put(digest, bytes)
    return bytes
  }

  /** Writes verified bytes, unless they are there. That another process was first is as good. */
  const store = async (digest: Digest, size: number, source: ObjectSource): Promise<void> => {
    for (;;) {
      const started = performance.now()
      const found = await find(digest)
      if (found === size && !corrupt.has(digest)) return
      await objects.put(blobPath(root, digest), source, found === undefined ? 'absent' : undefined)
      corrupt.delete(digest)
      if (performance.now() - started < maxUnseen) return
    }
  }

  const blobs: HostedBlobs = {
    open: async (digest, how) => {
      const size = await find(digest)
      return size === undefined ? undefined : reader.open(digest, size, how)
    },

    stat: async (digest) => {
      const size = await find(digest)
      return size === undefined ? undefined : { size }
    },

    read: async (digest, limit) => {
      const cached = await cache.read(digest, limit)
      if (cached !== undefined) return (await find(digest)) === undefined ? undefined : cached
      await restore(digest)
      return readKnown(digest, limit)
    },

    put: (digest, bytes) =>
      access.change(async () => {
        if (digestOf(bytes, algorithmOf(digest)) !== digest)
          throw new RegistryError('DIGEST_INVALID', { message: `the bytes are not ${digest}` })
        await store(digest, bytes.length, bytes)
        await cache.put(digest, bytes)
      }),

    isStored: async (digest) => {
      const [head, run] = await Promise.all([
        objects.head(blobPath(root, digest)),
        marks.runOf(digest),
      ])
      return head !== undefined && run === undefined
    },

    list: async function* () {
      const removed = await marks.all()
      for await (const page of objects.list(`${blobsDirectory(root)}/`))
        for (const { key, size, modified } of page.objects) {
          const digest = digestOfData(key)
          if (digest !== undefined && !removed.has(digest)) yield { digest, size, modified }
        }
    },

    remove: (digest, run) =>
      access.change(async () => {
        const head = await objects.head(blobPath(root, digest))
        return head !== undefined && marks.add(digest, head.size, run)
      }),
  }

  return {
    blobs,
    store,
    openKnown: reader.open,
    readKnown,
    /** Its size, while its download begins. */
    fetch: async (digest: Digest): Promise<number | undefined> => {
      await restore(digest)
      return reader.fetch(digest)
    },
    close: reader.close,
  }
}
