import { ArchiveError } from './archive-error.ts'
import { byteReader } from './byte-reader.ts'
import type { Limits } from './limits.ts'
import { assertShort, type Extended, extendBy, isExtension } from './tar-extensions.ts'
import { blockSize, parseTarHeader, type TarHeader } from './tar-header.ts'

/** An entry of a tar stream. Its content is valid until the next entry is asked for. */
export type StreamedEntry = TarHeader & {
  /** Of the first byte of the content in the stream. */
  readonly position: number
  readonly content: AsyncIterable<Buffer>
}

/**
 * Reads the entries of a layer as they arrive. The stream is read to its end, so that its digest can be
 * verified; like Go's reader, it accepts a layer without the blocks of zeros at the end.
 * @throws ArchiveError
 */
export async function* tarEntries(
  chunks: AsyncIterable<Buffer>,
  limits: Limits,
): AsyncGenerator<StreamedEntry> {
  const bytes = byteReader(chunks, 'a layer ends in the middle of an entry')
  try {
    let extended: Extended = {}
    let position = 0
    for (let seen = 0; ; seen += 1) {
      const block = await bytes.take(blockSize)
      const header = block.length === 0 ? undefined : parseTarHeader(block)
      if (header === undefined) break
      position += blockSize
      if (seen >= limits.entries)
        throw new ArchiveError('too-large', `the layer has more than ${limits.entries} entries`)
      if (isExtension(header)) {
        assertShort(header, limits)
        const content = await bytes.take(padded(header.size))
        extended = extendBy(extended, header.type, content.subarray(0, header.size))
        position += content.length
        continue
      }
      const entry = { ...header, ...extended }
      const size = sizeOf(entry)
      extended = {}
      const { content, skip } = bytes.section(size)
      yield { ...entry, size, position, content }
      await skip()
      position += padded(size)
      await bytes.take(padded(size) - size)
    }
    await bytes.drain()
  } finally {
    await bytes.close()
  }
}

/** Links and directories have no content, whatever their header says (POSIX pax, `typeflag`). */
function sizeOf({ type, size }: TarHeader): number {
  if ('123456'.includes(type)) return 0
  if (!Number.isSafeInteger(padded(size)))
    throw new ArchiveError('invalid', 'an entry has an invalid size')
  return size
}

function padded(size: number): number {
  return Math.ceil(size / blockSize) * blockSize
}
