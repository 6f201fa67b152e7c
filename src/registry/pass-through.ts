import { free } from '../oci/chunks.ts'
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
  ...source
}: PassThroughOptions): Content {
  const leaving = new AbortController()
  let chunks: AsyncGenerator<Buffer, void, undefined> | undefined
  let held: Buffer | undefined
  let handedOut: Buffer | undefined

  /** The next chunk that may be handed out, and where it ends. The one before has been sent. */
  const advance = async (): Promise<{ bytes: Buffer; end: number }> => {
    if (handedOut !== undefined) free([handedOut])
    handedOut = undefined
    chunks ??= oneByOne({ ...source, size, from: digester.size, signal: leaving.signal })
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

  return {
    digest,
    size,
    next: async (position) => {
      try {
        return await find(position)
      } catch (error) {
        if (!leaving.signal.aborted) onFailure(error)
        throw error
      }
    },
    close: () => {
      leaving.abort()
      if (chunks === undefined) source.first?.drop()
      else chunks.return().catch(() => {})
    },
  }
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
