import type { Content } from '../../oci/content.ts'
import type { Digest } from '../../oci/digest.ts'
import { isRegistryError, RegistryError } from '../../oci/errors.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import type { BlobCache, BlobWriter } from '../blob-store.ts'
import type { ObjectStore } from '../object-store.ts'
import { blobPath } from '../paths.ts'
import { createStreamedContent } from './streamed-content.ts'

/** Connections that break before a download fails. */
const maxBreaks = 5

type ReaderOptions = {
  readonly objects: ObjectStore
  readonly root: string
  /** The local disk. */
  readonly cache: BlobCache
  readonly onCorrupt: (digest: Digest, reason: string) => void
  readonly telemetry: Telemetry
}

/**
 * Reads blobs of a bucket by way of the local disk: each is downloaded once, verified while it is
 * written, and read while it grows. Without room on the disk, each reader has a download of its own.
 */
export function createBucketReader(options: ReaderOptions) {
  const { objects, root, cache, onCorrupt, telemetry } = options
  const fills = new Map<Digest, Promise<BlobWriter | undefined>>()
  const running = new Set<Promise<void>>()
  const closing = new AbortController()

  const open = async (digest: Digest, from: number) => {
    const object = await objects.get(blobPath(root, digest), {
      ...(from > 0 && { range: { from } }),
      signal: closing.signal,
    })
    if (object === undefined) throw gone(digest, objects.name)
    return object.body
  }

  const download = async (digest: Digest, size: number, writer: BlobWriter): Promise<void> => {
    for (let breaks = 0; writer.written < size; ) {
      const body = await open(digest, writer.written)
      try {
        for await (const chunk of body) await writer.write([chunk])
        if (writer.written < size) throw new Error('the body ended early')
      } catch (error) {
        body.destroy()
        breaks += 1
        const isOver = isRegistryError(error) || writer.isBroken() || breaks > maxBreaks
        if (isOver || closing.signal.aborted) throw error
      }
    }
    await writer.commit()
  }

  const run = async (digest: Digest, size: number, writer: BlobWriter): Promise<void> => {
    try {
      await download(digest, size, writer)
    } catch (cause) {
      if (isRegistryError(cause, 'DIGEST_INVALID'))
        onCorrupt(digest, 'its bytes have another digest')
      telemetry.log.warn(
        { digest, bucket: objects.name, err: cause },
        'download from the bucket failed',
      )
      await writer.abort(
        isRegistryError(cause, 'UNAVAILABLE') ? cause : unreadable(digest, objects.name, cause),
      )
    } finally {
      fills.delete(digest)
    }
  }

  const start = async (digest: Digest, size: number): Promise<BlobWriter | undefined> => {
    const writer = await cache.create(digest, size)
    if (writer === undefined) {
      fills.delete(digest)
      return undefined
    }
    const work = run(digest, size, writer).finally(() => running.delete(work))
    running.add(work)
    return writer
  }

  return {
    /** A blob that is in the bucket, with this size. */
    open: async (
      digest: Digest,
      size: number,
      how?: { readonly ranged?: boolean },
    ): Promise<Content> => {
      const stored = fills.has(digest) ? undefined : await cache.open(digest, how)
      if (stored !== undefined) return stored
      const filling = fills.get(digest) ?? start(digest, size)
      fills.set(digest, filling)
      const writer = await filling
      if (writer !== undefined) return writer.read()
      const body = await open(digest, 0)
      return createStreamedContent({
        digest,
        size,
        body,
        onCorrupt: () => {
          onCorrupt(digest, 'its bytes have another digest')
          return unreadable(digest, objects.name)
        },
      })
    },

    close: async (): Promise<void> => {
      closing.abort()
      await Promise.all(running)
    },
  }
}

function gone(digest: Digest, bucket: string): RegistryError {
  return new RegistryError('UNAVAILABLE', { message: `${digest} is gone from ${bucket}` })
}

function unreadable(digest: Digest, bucket: string, cause?: unknown): RegistryError {
  return new RegistryError('UNKNOWN', {
    message: `cannot read ${digest} from ${bucket}`,
    ...(cause !== undefined && { cause }),
  })
}
