import { crc32 } from 'node:zlib'
import { createDeflater } from './deflater.ts'
import { isRandom } from './entropy.ts'
import { inBlocks } from './in-blocks.ts'

/** Bytes of a block before compression: larger ones compress no better. */
const blockSize = 256 * 1024
/** As many as Node has threads for compression. */
const deflaterCount = 4
/** Blocks in work: each deflater finds the next one ready. */
const concurrency = 2 * deflaterCount

/** The fastest one, because the time of a push is mostly that of compression. */
const defaultGzipLevel = 1

/** Header of a gzip file (RFC 1952, section 2.3): deflate, no time, the fastest level, an unknown system. */
const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255])
/** An empty block that is the last one (RFC 1951, section 3.2.3). */
const lastBlock = Buffer.from([3, 0])
/** A stored block has at most this many bytes, after a header of five (RFC 1951, section 3.2.4). */
const maxStored = 0xffff

/**
 * Compresses in parallel. Equal bytes give equal results, on each machine with the same zlib. It takes the chunks
 * over, and frees them.
 */
export async function* gzipBlocks(
  chunks: AsyncIterable<Buffer>,
  level: number = defaultGzipLevel,
): AsyncGenerator<Buffer> {
  const deflaters = Array.from({ length: deflaterCount }, () => createDeflater(level))
  // The danger: a deflater may compress a block to other bytes if it had other blocks before.
  const turns = inTurn(deflaters)
  let size = 0
  let sum = 0
  const compress = async (block: Buffer): Promise<Buffer> => {
    sum = crc32(block, sum)
    size += block.length
    return isRandom(block) ? store(block) : turns.next().value.deflate(block)
  }
  try {
    yield Buffer.from(header)
    yield* inBlocks(chunks, { size: blockSize, concurrency, compress })
    yield trailerOf(sum, size)
  } finally {
    for (const deflater of deflaters) deflater.close()
  }
}

function* inTurn<Item>(items: readonly Item[]): Generator<Item, never> {
  for (;;) yield* items
}

/** The block as it is, in deflate blocks that are not compressed. */
function store(block: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < block.length; at += maxStored) {
    const part = block.subarray(at, at + maxStored)
    const head = Buffer.alloc(5)
    head.writeUInt16LE(part.length, 1)
    head.writeUInt16LE(part.length ^ 0xffff, 3)
    parts.push(head, part)
  }
  return Buffer.concat(parts)
}

/** The last block, and the trailer of a gzip file: checksum, and size modulo 2^32. */
function trailerOf(sum: number, size: number): Buffer {
  const trailer = Buffer.alloc(lastBlock.length + 8)
  lastBlock.copy(trailer)
  trailer.writeUInt32LE(sum, lastBlock.length)
  trailer.writeUInt32LE(size % 2 ** 32, lastBlock.length + 4)
  return trailer
}
