import { bytesIn, type Chunks } from '../../memory/memory.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { OpenedBlob, ResumableBlob } from '../remote-writer.ts'

/**
 * Reads a blob part by part. The source is opened again only to go back: some sources have to read, or to
 * compress, all bytes before the first one that they return.
 */
export interface PartReader {
  /** The bytes of one part. The part before ends, if it has not. */
  read(first: number, size: number): AsyncIterable<Chunks>
  /** The byte after the last one that was read. */
  position(): number
  /** The error of the source, which is not one of the upstream. */
  failure(): unknown
  close(): void
}

type Opened = {
  readonly chunks: AsyncIterator<Chunks>
  readonly close: OpenedBlob['close']
  /** Chunks that belong to the next part. */
  rest: Chunks
  position: number
  /** A part is being read, or was given up: nobody knows how far. */
  isInUse: boolean
}

export function createPartReader({ digest, size: total, open }: ResumableBlob): PartReader {
  let opened: Opened | undefined
  let failure: unknown

  const openAt = (position: number): Opened => {
    if (opened !== undefined && opened.position === position && !opened.isInUse) return opened
    opened?.close()
    const { chunks, close } = open(position)
    opened = { chunks: chunks[Symbol.asyncIterator](), close, rest: [], position, isInUse: false }
    return opened
  }

  const wrongSize = (what: string) =>
    new RegistryError('SIZE_INVALID', { message: `the source of ${digest} ${what}` })

  const next = async (source: Opened): Promise<Chunks> => {
    if (source.rest.length > 0) return source.rest
    const { done, value } = await source.chunks.next()
    if (done) throw wrongSize(`ended after ${source.position} of ${total} bytes`)
    return value
  }

  /** A source may verify its bytes when it has returned the last one. */
  const expectEnd = async (source: Opened): Promise<void> => {
    let isMore = source.rest.length > 0
    while (!isMore) {
      const { done, value } = await source.chunks.next()
      if (done) return
      isMore = bytesIn(value) > 0
    }
    throw wrongSize(`has more than ${total} bytes`)
  }

  async function* read(first: number, size: number): AsyncGenerator<Chunks> {
    const source = openAt(first)
    source.isInUse = true
    try {
      for (const end = first + size; source.position < end; ) {
        const [part, rest] = splitAt(await next(source), end - source.position)
        source.rest = rest
        source.position += bytesIn(part)
        yield part
      }
      if (source.position === total) await expectEnd(source)
      source.isInUse = false
    } catch (error) {
      if (source === opened) failure ??= error
      throw error
    }
  }

  return {
    read,
    position: () => opened?.position ?? 0,
    failure: () => failure,
    close: () => opened?.close(),
  }
}

/** The first `bytes`, and what follows. */
function splitAt(chunks: Chunks, bytes: number): readonly [Chunks, Chunks] {
  const first: Buffer[] = []
  const rest: Buffer[] = []
  let left = bytes
  for (const chunk of chunks) {
    if (left > 0) first.push(chunk.subarray(0, left))
    if (left < chunk.length) rest.push(chunk.subarray(left))
    left = Math.max(left - chunk.length, 0)
  }
  return [first, rest]
}
