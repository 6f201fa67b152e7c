import { freeChunks } from '../memory/memory.ts'
import type { Content, Piece } from '../oci/content.ts'
import type { Digest, Digester } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { type DownloadOptions, download } from './download.ts'

type PassThroughOptions = Omit<DownloadOptions, 'from' | 'signal'> & {
  readonly digest: Digest
  /** Bytes in all. */
  readonly size: number
  /** Has hashed what lies before the download. */
  readonly digester: Digester
  readonly onFailure: (error: unknown) => void
}

/** A reader that takes nothing for so long keeps its slot from nobody else, in milliseconds. */
const maxIdle = 5000

type PassThrough = {
  readonly content: Content
  /** Others wait for a slot: ends the download if its reader does not read. */
  readonly giveWay: () => boolean
}

/**
 * A blob that goes by without being stored, for one reader, whose download ends with it. Everything
 * is hashed, also what the reader does not want, and each chunk waits for the next one: the last is
 * handed out when size and digest are right.
 */
export function createPassThrough({
  digest,
  size,
  digester,
  onFailure,
  open,
  ...source
}: PassThroughOptions): PassThrough {
  const leaving = new AbortController()
  let chunks: AsyncGenerator<Buffer, void, undefined> | undefined
  let held: Buffer | undefined
  let handedOut: Buffer | undefined
  /** When the reader got its last bytes; undefined while it waits for more. */
  let idleSince: number | undefined = performance.now()

  const giveWay = (): boolean => {
    if (idleSince === undefined || performance.now() - idleSince < maxIdle) return false
    leaving.abort(readTooSlowly(digest))
    source.first?.drop()
    return true
  }

  /** The next chunk that may be handed out, and where it ends. The one before has been sent. */
  const advance = async (): Promise<{ bytes: Buffer; end: number }> => {
    if (handedOut !== undefined) freeChunks([handedOut])
    handedOut = undefined
    leaving.signal.throwIfAborted()
    chunks ??= oneByOne({
      ...source,
      open: (from, options) => open(from, { ...options, giveWay }),
      size,
      from: digester.size,
      signal: leaving.signal,
    })
    for (;;) {
      const next = await chunks.next()
      const ready = held
      const end = digester.size
      held = next.done ? undefined : next.value
      if (held !== undefined) digester.update(held)
      if (next.done ? ready === undefined || !isRight() : digester.size > size)
        throw mismatch(digest)
      if (ready === undefined) continue
      handedOut = ready
      return { bytes: ready, end }
    }
  }

  const isRight = () => digester.size === size && digester.copy().digest() === digest

  const find = async (position: number): Promise<Piece> => {
    for (;;) {
      const { bytes, end } = await advance()
      const start = end - bytes.length
      if (end > position)
        return { kind: 'bytes', bytes: bytes.subarray(Math.max(0, position - start)) }
    }
  }

  const next = async (position: number): Promise<Piece> => {
    idleSince = undefined
    try {
      return await find(position)
    } catch (error) {
      if (!leaving.signal.aborted) onFailure(error)
      throw error
    } finally {
      idleSince = performance.now()
    }
  }

  const close = (): void => {
    leaving.abort()
    if (chunks === undefined) source.first?.drop()
    else chunks.return().catch(() => {})
  }

  return { content: { digest, size, next, close }, giveWay }
}

function readTooSlowly(digest: Digest): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: `${digest} goes by uncached, its client does not read, and others wait for its slot`,
    retryAfter: 5,
  })
}

function mismatch(digest: Digest): RegistryError {
  return new RegistryError('DIGEST_INVALID', {
    message: `the upstream's bytes are not those of ${digest}`,
    status: 502,
  })
}

async function* oneByOne(options: DownloadOptions): AsyncGenerator<Buffer, void, undefined> {
  for await (const batch of download(options)) yield* batch
}
