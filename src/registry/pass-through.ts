import { freeChunks } from '../memory/memory.ts'
import type { Content, Piece } from '../oci/content.ts'
import type { Digest, Digester } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { type DownloadOptions, download } from './download.ts'

type PassThroughOptions = Omit<DownloadOptions, 'from' | 'signal'> & {
  readonly digest: Digest
  /** Bytes of the whole blob. */
  readonly size: number
  /** Has hashed the bytes before the start of the download. */
  readonly digester: Digester
  readonly onFailure: (error: unknown) => void
}

/** A reader that reads nothing for this time loses its slot to waiting requests, in milliseconds. */
const maxIdle = 5000

type PassThrough = {
  readonly content: Content
  /** Other requests wait for a slot: ends the download if its reader does not read. */
  readonly releaseSlot: () => boolean
}

/**
 * A blob that is passed to one reader without being stored; its download ends with the reader. All
 * bytes are hashed, also those that the reader skips. Each chunk is held back until the next one
 * arrives, and the last one until size and digest are verified.
 */
export function createPassThrough({
  digest,
  size,
  digester,
  onFailure,
  open,
  ...source
}: PassThroughOptions): PassThrough {
  const stopping = new AbortController()
  let chunks: AsyncGenerator<Buffer, void, undefined> | undefined
  let held: Buffer | undefined
  let current: Buffer | undefined
  /** When the reader got its last bytes; undefined while it waits for more. */
  let idleSince: number | undefined = performance.now()

  const releaseSlot = (): boolean => {
    if (idleSince === undefined || performance.now() - idleSince < maxIdle) return false
    stopping.abort(readerTooSlow(digest))
    source.first?.drop()
    return true
  }

  /** The next chunk that may be sent, and the position of its end. The previous one was sent. */
  const advance = async (): Promise<{ bytes: Buffer; end: number }> => {
    if (current !== undefined) freeChunks([current])
    current = undefined
    stopping.signal.throwIfAborted()
    chunks ??= chunksOf({
      ...source,
      open: (from, options) => open(from, { ...options, releaseSlot }),
      size,
      from: digester.size,
      signal: stopping.signal,
    })
    for (;;) {
      const next = await chunks.next()
      const ready = held
      const end = digester.size
      held = next.done ? undefined : next.value
      if (held !== undefined) digester.update(held)
      if (next.done ? ready === undefined || !isVerified() : digester.size > size)
        throw mismatch(digest)
      if (ready === undefined) continue
      current = ready
      return { bytes: ready, end }
    }
  }

  const isVerified = () => digester.size === size && digester.copy().digest() === digest

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
      if (!stopping.signal.aborted) onFailure(error)
      throw error
    } finally {
      idleSince = performance.now()
    }
  }

  const close = (): void => {
    stopping.abort()
    if (chunks === undefined) source.first?.drop()
    else chunks.return().catch(() => {})
  }

  return { content: { digest, size, next, close }, releaseSlot }
}

function readerTooSlow(digest: Digest): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: `aborted an uncached transfer of ${digest}: the client did not read for ${maxIdle / 1000} s, and other requests waited; retry`,
    retryAfter: 5,
  })
}

function mismatch(digest: Digest): RegistryError {
  return new RegistryError('DIGEST_INVALID', {
    message: `the upstream's bytes are not those of ${digest}`,
    status: 502,
  })
}

async function* chunksOf(options: DownloadOptions): AsyncGenerator<Buffer, void, undefined> {
  for await (const batch of download(options)) yield* batch
}
