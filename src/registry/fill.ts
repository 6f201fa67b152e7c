import { freeChunks } from '../memory/memory.ts'
import type { Content } from '../oci/content.ts'
import { algorithmOf, createDigester, type Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { RemoteBlob } from '../remote/remote.ts'
import type { BlobCache, BlobWriter } from '../store/store.ts'
import { download, type OpenBlob } from './download.ts'
import type { FarRanges } from './far-ranges.ts'
import { createPassThrough } from './pass-through.ts'
import { createReaders } from './readers.ts'

/**
 * One download of one blob. It belongs to the process: readers come and go, it goes on to its end or to
 * its deadline, unless nobody reads it while others wait for its slot.
 */
export interface Fill {
  /**
   * A reader of its own for each client, as soon as there is something to read; undefined when the
   * upstream has no such blob.
   */
  join(): Promise<Joined | undefined>
  /** Settles when nothing is under way any more, never rejects. */
  readonly done: Promise<void>
}

/** `bypassed`: the bytes go by without being stored. */
type Joined = { readonly content: Content; readonly bypassed: boolean }

type FillOptions = {
  readonly digest: Digest
  /** What a manifest says, if one was seen: for an upstream that does not. */
  readonly expectedSize: number | undefined
  readonly open: OpenBlob
  readonly maxStall: number
  readonly farRanges: FarRanges
  readonly blobs: BlobCache
  readonly signal: AbortSignal
  /** Ends the fill: nobody reads it, and others wait for its slot. */
  readonly abandon: () => void
  readonly onBytes: (bytes: number) => void
  readonly onResume: (position: number, error: unknown) => void
  /** The upstream has no such blob. */
  readonly onAbsent: () => void
  readonly onFailure: (error: unknown) => void
}

/**
 * 1. Ask the upstream. Its answer tells the size, and that this repository may have the blob.
 * 2. Make room and a file. Readers read the file as it grows, each at its own pace, but for the
 *    end.
 * 3. Write what comes, while more comes; `download` resumes what breaks.
 * 4. Size and digest right: the blob gets its place and readers the end. Wrong: they all get the
 *    same error, once.
 * 5. Ranges that lie far beyond what has come are asked for beside it.
 * 6. No room, or a disk that fails: the bytes go by. What was written is read to its end, and each
 *    reader goes on with a download of its own, which hashes on from there.
 */
export function startFill(options: FillOptions): Fill {
  const {
    digest,
    expectedSize,
    farRanges,
    blobs,
    signal,
    abandon,
    onAbsent,
    onFailure,
    ...others
  } = options
  const opened = Promise.withResolvers<(() => Content) | undefined>()
  opened.promise.catch(() => {})
  const readers = createReaders()
  let bypassed = false

  let giveWay = (): boolean => {
    const isUnread = readers.areGone()
    if (isUnread) abandon()
    return isUnread
  }
  const source = {
    ...others,
    open: openGivingWay(others.open, () => giveWay()),
  }

  const run = async (): Promise<void> => {
    const answer = await source.open(0, { signal })
    if (answer === undefined) {
      onAbsent()
      return opened.resolve(undefined)
    }
    // A manifest may lie about a layer that it shares with right ones: the upstream's size counts.
    const size = answer.size ?? expectedSize
    const writer = await blobs.create(digest, size)
    if (writer === undefined) return passThrough(answer, size)
    // Those who wait for `opened` get a reader each before the file, which nobody else may hold any
    // more, is closed.
    const keeper = writer.read()
    // An empty blob has no end to hold back, and one of unknown size cannot be announced: they are
    // answered when they are right.
    if (size) opened.resolve(() => farRanges.reader(writer.read(), () => writer.written))
    try {
      await store(writer, answer, size)
      opened.resolve(writer.read)
      if (!bypassed) await farRanges.compare(keeper)
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
    } catch (error) {
      if (size === undefined || !writer.isBroken()) {
        await writer.abort(error)
        throw writer.isBroken() ? noRoom(digest, error) : error
      }
      bypassed = true
      await writer.handOver(
        (digester) => createPassThrough({ ...source, digest, size, digester, onFailure }).content,
      )
    }
  }

  /** The first reader takes the answer that is open already; the others ask for their own. */
  const passThrough = (answer: RemoteBlob, size: number | undefined): void => {
    if (size === undefined) {
      answer.drop()
      throw noRoom(digest)
    }
    // Nothing of it is read, so nothing else would find out.
    if (size === 0 && createDigester(algorithmOf(digest)).digest() !== digest) {
      answer.drop()
      throw new RegistryError('DIGEST_INVALID', {
        message: `the upstream says that ${digest} is empty`,
        status: 502,
      })
    }
    bypassed = true
    let unused: RemoteBlob | undefined = answer
    const read = () => {
      const first = unused
      unused = undefined
      const digester = createDigester(algorithmOf(digest))
      const { content, giveWay: readerGivesWay } = createPassThrough({
        ...source,
        digest,
        size,
        digester,
        onFailure,
        ...(first && { first }),
      })
      if (first !== undefined) giveWay = readerGivesWay
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
    join: async () => {
      const content = await readers.reading(opened.promise)
      return content && { content, bypassed }
    },
  }
}

/** The same, whose slot is given up when whoever reads has no need of it. */
function openGivingWay(open: OpenBlob, giveWay: () => boolean): OpenBlob {
  return (from, options) => open(from, { giveWay, ...options })
}

/** What cannot be announced cannot go by. */
function noRoom(digest: Digest, cause?: unknown): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: `the upstream does not say how long ${digest} is, and the cache has no room`,
    retryAfter: 5,
    cause,
  })
}
