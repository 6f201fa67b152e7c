import type { Readable } from 'node:stream'
import type { Content } from '../../oci/content.ts'
import { algorithmOf, createDigester, type Digest } from '../../oci/digest.ts'

type StreamedOptions = {
  readonly digest: Digest
  readonly size: number
  readonly body: Readable
  /** The bytes are wrong, or there are too few: returns the error for the reader. */
  readonly onCorrupt: () => Error
}

/** Bytes for one reader that are stored nowhere: the last chunk is held back until all are verified. */
export function createStreamedContent({ digest, size, body, onCorrupt }: StreamedOptions): Content {
  const digester = createDigester(algorithmOf(digest))
  const chunks: AsyncIterator<Buffer> = body[Symbol.asyncIterator]()
  /** The chunk that may be returned, and what follows it. */
  let current: { readonly from: number; readonly bytes: Buffer } | undefined
  let following: Buffer | undefined

  const readChunk = async (): Promise<Buffer | undefined> => {
    for (;;) {
      const { done, value } = await chunks.next()
      if (done) return undefined
      digester.update(value)
      if (value.length > 0) return value
    }
  }

  const advance = async (): Promise<void> => {
    const bytes = following ?? (await readChunk())
    const from = current === undefined ? 0 : current.from + current.bytes.length
    following = await readChunk()
    const isRight = following !== undefined || digester.copy().digest() === digest
    if (bytes === undefined || !isRight || digester.size > size) throw onCorrupt()
    current = { from, bytes }
  }

  return {
    digest,
    size,
    next: async (position) => {
      while (current === undefined || current.from + current.bytes.length <= position)
        await advance()
      return { kind: 'bytes', bytes: current.bytes.subarray(position - current.from) }
    },
    close: () => void body.destroy(),
  }
}
