import type { Readable } from 'node:stream'
import type { Content } from '../../oci/content.ts'
import type { Digest } from '../../oci/digest.ts'
import { isRegistryError, RegistryError } from '../../oci/errors.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import type { BlobCache, BlobWriter } from '../blob-store.ts'
import type { ObjectStore } from '../object-store.ts'
import { blobPath } from '../paths.ts'
import { discardBody } from './discard-body.ts'
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

type Wanted = {
  readonly digest: Digest
  readonly size: number
  /** The bytes from the first one on, if they were requested already. */
  readonly first?: Readable
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

  const find = (digest: Digest, from: number) =>
    objects.get(blobPath(root, digest), {
      ...(from > 0 && { range: { from } }),
      signal: closing.signal,
    })

  const open = async (digest: Digest, from: number) => {
    const object = await find(digest, from)
    if (object === undefined) throw gone(digest, objects.name)
    return object.body
  }

  const download = async ({ digest, size, first }: Wanted, writer: BlobWriter): Promise<void> => {
    let opened = first
    for (let breaks = 0; writer.written < size; ) {
      const body = opened ?? (await open(digest, writer.written))
      opened = undefined
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

  const run = async (wanted: Wanted, writer: BlobWriter): Promise<void> => {
    const { digest } = wanted
    try {
      await download(wanted, writer)
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
      if (wanted.first !== undefined) discardBody(wanted.first)
    }
  }

  const create = async (wanted: Wanted): Promise<BlobWriter | undefined> => {
    const { digest, size, first } = wanted
    const writer = await cache.create(digest, size).catch((error: unknown) => {
      fills.delete(digest)
      if (first !== undefined) discardBody(first)
      throw error
    })
    if (writer === undefined) {
      fills.delete(digest)
      if (first !== undefined) discardBody(first)
      return undefined
    }
    const work = run(wanted, writer).finally(() => running.delete(work))
    running.add(work)
    return writer
  }

  const start = (wanted: Wanted): Promise<BlobWriter | undefined> => {
    const filling = create(wanted)
    fills.set(wanted.digest, filling)
    return filling
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
      const writer = await (fills.get(digest) ?? start({ digest, size }))
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

    /** Begins the download of a blob, which says its size. Undefined: it is missing. */
    fetch: async (digest: Digest): Promise<number | undefined> => {
      const object = await find(digest, 0)
      if (object === undefined) return undefined
      const { size, body } = object
      // It may break before it is read, which then fails; without a listener, the process would end.
      body.on('error', () => {})
      if (fills.has(digest)) discardBody(body)
      else await start({ digest, size, first: body })
      return size
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
