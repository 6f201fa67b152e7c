import { freeChunks } from '../memory/memory.ts'
import type { Content } from '../oci/content.ts'
import { algorithmOf, createDigester, type Digest } from '../oci/digest.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import type { RemoteBlob } from '../remote/remote.ts'
import type { BlobCache, BlobWriter } from '../store/store.ts'
import { misdirected } from './blob-origins.ts'
import { type DownloadOptions, download, type OpenBlob } from './download.ts'
import type { FarRanges } from './far-ranges.ts'
import { createPassThrough } from './pass-through.ts'
import { createReaders } from './readers.ts'
import type { BlobRequest } from './repository.ts'

/**
 * One download of one blob. It belongs to the process, not to a client: it continues to its end or
 * its deadline when readers leave, unless it has no readers while others wait for its slot.
 */
export interface Fill {
  /**
   * A reader of its own for each client, as soon as there is something to read; undefined when the
   * upstream has no such blob. Rejects for another replica, `isForwarded`, if this one has to request the blob again
   * for each reader.
   */
  join(how?: JoinRequest): Promise<Joined | undefined>
  /** Settles when the first byte is coming, or will not. */
  readonly opened: Promise<unknown>
  /** Resolves when the fill has ended; never rejects. */
  readonly done: Promise<void>
  progress(): FillProgress
}

/** Bytes, and the clients that wait for the blob or read it. */
export type FillProgress = {
  readonly received: number
  readonly size: number | undefined
  readonly readers: number
}

type JoinRequest = Pick<BlobRequest, 'isForwarded'>

/** `bypassed`: the bytes are passed through without being stored. */
type Joined = { readonly content: Content; readonly bypassed: boolean }

/** Where bytes come from, and what counts them. */
type Source = Pick<DownloadOptions, 'open' | 'onBytes'>

type FillOptions = Source & {
  readonly digest: Digest
  /** The size in the manifest, if known, for an upstream that sends none. */
  readonly expectedSize: number | undefined
  /** For a reader whose bytes are not stored. */
  readonly openSource: () => Source
  readonly maxStall: number
  readonly farRanges: FarRanges
  readonly blobs: BlobCache
  readonly signal: AbortSignal
  /** Ends the fill: it has no readers, and others wait for its slot. */
  readonly abandon: () => void
  readonly onResume: (position: number, error: unknown) => void
  /** The upstream has no such blob. */
  readonly onAbsent: () => void
  /** There is no space, or the disk failed. */
  readonly onBypass: () => void
  /** The blob is verified, and on the disk unless that failed at the end. */
  readonly onStored: (size: number) => void
  readonly onFailure: (error: unknown) => void
}

/**
 * 1. Request the blob. The response gives the size, and proves that this repository has the blob.
 * 2. Reserve space and create a file. Readers read the file as it grows, each at its own pace,
 *    except for the end.
 * 3. Write bytes as they arrive; `download` resumes broken connections.
 * 4. If size and digest are correct, commit the blob and release its end to readers. If not, all
 *    readers get the same error, once.
 * 5. Fetch ranges far beyond the bytes that have arrived by separate requests.
 * 6. If there is no space, or the disk fails, pass the bytes through. Readers read what was written
 *    to its end, and each continues with its own download, which continues the hash from there. Readers of other
 *    replicas fail instead: these continue with one download for all.
 */
export function startFill(options: FillOptions): Fill {
  const {
    digest,
    expectedSize,
    farRanges,
    blobs,
    signal,
    abandon,
    openSource,
    onAbsent,
    onBypass,
    onStored,
    onFailure,
    ...others
  } = options
  const opened = Promise.withResolvers<((how: JoinRequest) => Content) | undefined>()
  opened.promise.catch(() => {})
  const readers = createReaders()
  let bypassed = false
  let received = 0
  let knownSize = expectedSize

  let releaseSlot = (): boolean => {
    const isUnread = readers.haveLeft()
    if (isUnread) abandon()
    return isUnread
  }
  const source = {
    ...others,
    onBytes: (bytes: number) => {
      received += bytes
      others.onBytes(bytes)
    },
    open: withSlotRelease(others.open, () => releaseSlot()),
  }

  const bypass = (): void => {
    bypassed = true
    onBypass()
  }

  const run = async (): Promise<void> => {
    const answer = await source.open(0, { signal })
    if (answer === undefined) {
      onAbsent()
      return opened.resolve(undefined)
    }
    // A manifest may give a wrong size for a layer that it shares with correct ones: the upstream's
    // size wins.
    const size = answer.size ?? expectedSize
    knownSize = size
    const writer = await blobs.create(digest, size)
    if (writer === undefined) return passThrough(answer, size)
    // Keeps the file open until each caller of `join` has its own reader, also when the writer has
    // released the file.
    const keeper = writer.read()
    // An empty blob has no end to hold back, and the size of one of unknown size cannot be
    // announced: their readers start when the blob is verified.
    const read = ({ isForwarded = false }: JoinRequest) => writer.read({ continues: !isForwarded })
    if (size) opened.resolve((how) => farRanges.reader(read(how), () => writer.written))
    try {
      await store(writer, answer, size)
      opened.resolve(read)
      if (bypassed) return
      onStored(writer.written)
      await farRanges.compare(keeper)
    } finally {
      setImmediate(keeper.close)
    }
  }

  const store = async (
    writer: BlobWriter,
    first: RemoteBlob,
    size: number | undefined,
  ): Promise<void> => {
    try {
      for await (const batch of download({ ...source, first, from: 0, size, signal })) {
        await writer.write(batch)
        freeChunks(batch)
      }
      await writer.commit()
    } catch (cause) {
      const error = explained(cause, first)
      if (size === undefined || !writer.isBroken()) {
        await writer.abort(error)
        throw writer.isBroken() ? noRoom(digest, error) : error
      }
      bypass()
      await writer.handOver((digester) => {
        const rest = { ...others, ...openSource(), digest, size, digester, onFailure }
        return createPassThrough(rest).content
      })
    }
  }

  /**
   * The first reader takes the response that is already open; the others send their own request.
   */
  const passThrough = (answer: RemoteBlob, size: number | undefined): void => {
    if (size === undefined) {
      answer.drop()
      throw noRoom(digest)
    }
    // No body is read, so no other check verifies the digest.
    if (size === 0 && createDigester(algorithmOf(digest)).digest() !== digest) {
      answer.drop()
      throw new RegistryError('DIGEST_INVALID', {
        message: `the upstream sent an empty body for ${digest}`,
        status: 502,
      })
    }
    bypass()
    let unused: RemoteBlob | undefined = answer
    const read = ({ isForwarded }: JoinRequest) => {
      const first = unused
      if (first === undefined && isForwarded) throw misdirected(digest)
      unused = undefined
      const digester = createDigester(algorithmOf(digest))
      const { content, releaseSlot: readerReleasesSlot } = createPassThrough({
        ...others,
        ...(first === undefined ? openSource() : { ...source, first }),
        digest,
        size,
        digester,
        onFailure,
      })
      if (first !== undefined) releaseSlot = readerReleasesSlot
      return content
    }
    opened.resolve(read)
  }

  const done = run().catch((error: unknown) => {
    opened.reject(error)
    onFailure(error)
  })

  return {
    done,
    progress: () => ({ received, size: knownSize, readers: readers.count() }),
    opened: opened.promise,
    join: async (how = {}) => {
      const opening = opened.promise.then((read) => read && (() => read(how)))
      const content = await readers.reading(opening)
      return content && { content, bypassed }
    },
  }
}

/** Requests with a slot that is released on demand when the readers do not need it. */
function withSlotRelease(open: OpenBlob, releaseSlot: () => boolean): OpenBlob {
  return (from, options) => open(from, { releaseSlot, ...options })
}

/** Wrong bytes are what a proxy made of the right ones, or a page of its own, if the response says so. */
function explained(error: unknown, { sent }: RemoteBlob): unknown {
  if (sent === undefined || !isRegistryError(error, 'DIGEST_INVALID')) return error
  return new RegistryError('DIGEST_INVALID', {
    message: `${error.message}: they were sent ${sent}`,
    advice: 'check what answers in front of the registry: a proxy, or a login page',
    status: 502,
  })
}

/** A blob of unknown size has no Content-Length and cannot be passed through. */
function noRoom(digest: Digest, cause?: unknown): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: `cannot download ${digest}: the upstream sends no size, and the cache cannot store it; retry`,
    retryAfter: 5,
    cause,
  })
}
