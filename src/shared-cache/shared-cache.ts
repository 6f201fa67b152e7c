import { addAbortSignal } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CacheMemory, Release, Reservations } from '../memory/memory.ts'
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { createBreaker } from '../outbound/outbound.ts'
import { type BlobOrigin, isSettledWithin } from '../registry/registry.ts'
import {
  type Bucket,
  blobPath,
  createObjectUrls,
  type DiskCache,
  ObjectStoreError,
  type OpenObject,
} from '../store/store.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { readBody } from './bucket-body.ts'
import { createUploads } from './uploads.ts'

/** Objects that are read at the same time; further blobs come from the upstream. */
const maxReads = 64
/** An object of at most so many bytes is verified before any of it is used. */
const maxWhole = 256 * 1024
/** Bytes of an upload that are in memory; from this size, it is worth a request to learn whether another replica was faster. */
const partSize = 16 * 1024 * 1024
/** How long an upload waits for memory before it looks again, in milliseconds. */
const memoryPause = 1000
/** How long an object with wrong bytes is not read, unless it is replaced before; milliseconds. */
const wrongTtl = 10 * 60_000

/**
 * The second level of the cache: a bucket that all replicas read before the upstream, and write after it.
 * Its bytes are verified as those of the upstream, and are no permission.
 */
export interface SharedCache {
  readonly origin: BlobOrigin
  /** A signed URL of a large blob in the bucket; undefined: there is none. Never rejects. */
  urlOf(digest: Digest): Promise<string | undefined>
  /** Why it does not help at the moment. */
  problem(): string | undefined
  close(): Promise<void>
}

type SharedCacheOptions = {
  /** Closed with the cache. */
  readonly bucket: Bucket
  /** In front of keys; empty or a path. */
  readonly prefix: string
  /** Maximum time until the first byte of an object, in milliseconds: then the upstream is asked. */
  readonly firstByte: number
  /** Clients are not sent to the bucket for smaller blobs, in bytes. */
  readonly minRedirected: number
  readonly cache: Pick<DiskCache, 'open' | 'pathOf'>
  readonly caches: CacheMemory
  readonly inFlight: Reservations
  readonly telemetry: Telemetry
}

/**
 * 1. A blob that is not on the disk is read from the bucket. An object that is missing, late, slow or broken
 *    costs a bounded moment; then the upstream sends the blob, or the rest of it.
 * 2. After failures in a row, the bucket is not asked for some seconds.
 * 3. What came from the upstream is uploaded after it is verified and stored on the disk, in the background; not
 *    while the bucket denies writes.
 * 4. An object with wrong bytes is deleted, and not read again until it is replaced.
 */
export function createSharedCache(options: SharedCacheOptions): SharedCache {
  const { bucket, prefix, firstByte, minRedirected, cache, caches, inFlight, telemetry } = options
  const { log, metrics } = telemetry
  const keyOf = (digest: Digest) => blobPath(prefix, digest)
  const urlOf = createObjectUrls(bucket, telemetry)
  const wrong = caches.create<true>({ ttl: wrongTtl })
  const breaker = createBreaker({
    origin: bucket.name,
    onChange: (open) => log.warn({ bucket: bucket.name, open }, 'breaker changed'),
  })
  let reads = 0
  let uploadProblem: string | undefined
  const countRead = (result: 'hit' | 'miss' | 'skipped' | 'failed' | 'wrong') =>
    metrics.sharedCacheReads.inc({ result })
  const countUpload = (result: 'stored' | 'exists' | 'failed' | 'dropped' | 'skipped') =>
    metrics.sharedCacheUploads.inc({ result })

  const mayRead = (digest: Digest): boolean => {
    if (wrong.has(digest) || reads >= maxReads) return false
    try {
      breaker.enter()
      return true
    } catch {
      return false
    }
  }

  const open = async (
    digest: Digest,
    from: number,
    signal: AbortSignal,
  ): Promise<OpenObject | undefined> => {
    const controller = new AbortController()
    const timer = setTimeout(() => controller.abort(tooLate), firstByte)
    const abort = () => controller.abort(signal.reason)
    signal.addEventListener('abort', abort)
    try {
      const range = from > 0 ? { from } : undefined
      const found = await bucket.get(keyOf(digest), { range, signal: controller.signal })
      breaker.succeeded()
      return found
    } catch (error) {
      if (signal.aborted) breaker.abandoned()
      else breaker.failed(error instanceof Error ? error.message : '')
      throw error
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
    }
  }

  /** Of a small object; undefined when they are wrong. */
  const readWhole = async (digest: Digest, { body }: OpenObject): Promise<Buffer | undefined> => {
    const chunks: Buffer[] = []
    for await (const batch of readBody(body, bucket.name)) chunks.push(...batch)
    const bytes = Buffer.concat(chunks)
    if (digestOf(bytes, algorithmOf(digest)) === digest) return bytes
    sentWrong(digest)
    return undefined
  }

  const sentWrong = (digest: Digest): void => {
    countRead('wrong')
    log.error({ digest, bucket: bucket.name }, 'an object has wrong bytes: deleting it')
    wrong.set(digest, true)
    bucket.delete([keyOf(digest)]).catch((err: unknown) => {
      log.warn({ digest, err }, 'cannot delete an object with wrong bytes')
    })
  }

  const read: BlobOrigin['open'] = async ({ digest }, from, signal) => {
    const found = await open(digest, from, signal)
    if (found === undefined) {
      countRead('miss')
      return undefined
    }
    const { size } = found
    const body = addAbortSignal(signal, found.body)
    // It is destroyed where nobody reads it any more.
    body.on('error', () => {})
    reads += 1
    body.once('close', () => {
      reads -= 1
    })
    if (from > 0 || size > maxWhole) {
      countRead('hit')
      return { size, from, body: readBody(body, bucket.name), drop: () => void body.destroy() }
    }
    const bytes = await readWhole(digest, found)
    if (bytes === undefined) return undefined
    countRead('hit')
    return { size, from, body: yieldOnce([bytes]), drop: () => {} }
  }

  /** Memory for one part. */
  const reserve = async (size: number, signal: AbortSignal): Promise<Release> => {
    for (;;) {
      const release = inFlight.reserve(Math.min(size, partSize))
      if (release !== undefined) return release
      await sleep(memoryPause, undefined, { signal, ref: false })
    }
  }

  const put = async (digest: Digest, size: number, signal: AbortSignal) => {
    const key = keyOf(digest)
    const isWrong = wrong.has(digest)
    const isThere = size >= partSize && !isWrong && (await bucket.head(key)) !== undefined
    if (isThere) return 'exists'
    const release = await reserve(size, signal)
    try {
      const source = { path: cache.pathOf(digest), size }
      const { kind } = await bucket.put(key, source, isWrong ? undefined : 'absent', signal)
      wrong.delete(digest)
      return kind === 'created' ? 'stored' : 'exists'
    } finally {
      release()
    }
  }

  const upload = async (digest: Digest, signal: AbortSignal): Promise<void> => {
    if (bucket.problem('write') !== undefined) return countUpload('skipped')
    // While it is open, the blob is not evicted.
    const content = await cache.open(digest).catch(() => undefined)
    if (content === undefined) return
    try {
      countUpload(await put(digest, content.size, signal))
      uploadProblem = undefined
    } catch (err) {
      if (signal.aborted) return
      countUpload('failed')
      const isRepeated = uploadProblem !== undefined
      uploadProblem = err instanceof Error ? err.message : ''
      // Once: all uploads may be denied, or those to some paths, or with a key of KMS.
      const isDenied = err instanceof ObjectStoreError && ['denied', 'gone'].includes(err.failure)
      if (isDenied && isRepeated) return
      log.warn({ digest, err }, 'cannot upload a blob to the bucket of the cache')
    } finally {
      content.close()
    }
  }
  const uploads = createUploads(upload)

  const findLarge = async (digest: Digest): Promise<string | undefined> => {
    const finding = bucket.head(keyOf(digest))
    try {
      if (!(await isSettledWithin(finding, firstByte))) throw tooLate
      const found = await finding
      breaker.succeeded()
      const isLarge = found && found.size >= minRedirected
      return isLarge ? await urlOf(keyOf(digest)) : undefined
    } catch (error) {
      breaker.failed(error instanceof Error ? error.message : '')
      return undefined
    }
  }

  const problem = () => bucket.problem() ?? breaker.problem() ?? uploadProblem
  metrics.onScrape(() => {
    metrics.sharedCacheAvailable.set(problem() === undefined ? 1 : 0)
    metrics.sharedCacheWaiting.set(uploads.waiting())
  })

  return {
    origin: {
      name: 'bucket',
      open: async (blob, from, signal) => {
        if (!mayRead(blob.digest)) {
          countRead('skipped')
          return undefined
        }
        try {
          return await read(blob, from, signal)
        } catch (error) {
          countRead('failed')
          throw error
        }
      },
      fetched: (digest, size) => {
        if (bucket.problem('write') !== undefined) countUpload('skipped')
        else if (!uploads.add(digest, size)) countUpload('dropped')
      },
      sentWrong,
    },
    urlOf: async (digest) => (mayRead(digest) ? findLarge(digest) : undefined),
    problem,
    close: async () => {
      await uploads.close()
      await bucket.close()
    },
  }
}

const tooLate = new Error('no answer within the time limit')

async function* yieldOnce<Item>(item: Item): AsyncGenerator<Item, void, undefined> {
  yield item
}
