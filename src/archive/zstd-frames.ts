import { ArchiveError } from './archive-error.ts'
import { byteReader } from './byte-reader.ts'

const magic = 0xfd2fb528
/** RFC 8878, section 3.1.2: sixteen values. */
const skippableMagic = 0x184d2a50
const skippableMask = 0xfffffff0
/** Bytes of a dictionary ID, and of a content size, by the flags of a frame (RFC 8878, section 3.1.1.1). */
const dictionarySizes = [0, 1, 2, 4] as const
const contentSizes = [0, 2, 4, 8] as const
/** The type of a block that is one byte, repeated. */
const repeated = 1
/** Bytes of a piece, at least, except at the end of a frame. */
const pieceSize = 64 * 1024

/**
 * The frames of a zstd file, cut so that no piece has bytes of two frames; skippable frames are left out.
 *
 * The danger: Node's decompressor ignores what follows a frame in the same piece, and a file may have many
 * frames (pzstd writes one for each 512 KiB, zstd:chunked one for each file). Only lengths are read here:
 * the decompressor decides what is valid.
 * @throws ArchiveError `invalid` if something else follows a frame, `incomplete` if one is cut.
 */
export async function* zstdFrames(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const bytes = byteReader(chunks, 'the compressed data ends too early')
  try {
    while (true) {
      const first = await bytes.take(4)
      if (first.length === 0) return
      const kind = first.readUInt32LE()
      if ((kind & skippableMask) >>> 0 === skippableMagic) {
        const size = (await bytes.exactly(4)).readUInt32LE()
        await bytes.section(size).skip()
      } else if (kind === magic) yield* frame(first, bytes)
      else throw new ArchiveError('invalid', 'other bytes follow the compressed data')
    }
  } finally {
    await bytes.close()
  }
}

async function* frame(first: Buffer, bytes: ReturnType<typeof byteReader>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [first]
  let size = first.length
  const add = (part: Buffer): Buffer => {
    parts.push(part)
    size += part.length
    return part
  }
  const flags = add(await bytes.exactly(1)).readUInt8()
  add(await bytes.exactly(headerSize(flags)))
  for (let isLast = false; !isLast; ) {
    const block = add(await bytes.exactly(3)).readUIntLE(0, 3)
    isLast = (block & 1) === 1
    const isRepeated = ((block >> 1) & 3) === repeated
    add(await bytes.exactly(isRepeated ? 1 : block >> 3))
    if (size < pieceSize) continue
    yield Buffer.concat(parts)
    parts = []
    size = 0
  }
  const hasChecksum = (flags & 4) !== 0
  if (hasChecksum) add(await bytes.exactly(4))
  if (size > 0) yield Buffer.concat(parts)
}

/** Of what follows the flags. A frame of a single segment names its size, and no window. */
function headerSize(flags: number): number {
  const isSingle = (flags & 0x20) !== 0
  const dictionary = dictionarySizes[flags & 3] ?? 0
  const content = contentSizes[flags >> 6] || (isSingle ? 1 : 0)
  return (isSingle ? 0 : 1) + dictionary + content
}
