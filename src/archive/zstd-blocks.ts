import { promisify } from 'node:util'
import { constants, zstdCompress } from 'node:zlib'
import { inBlocks } from './in-blocks.ts'

const compress = promisify(zstdCompress)

/** Bytes of a frame before compression: larger ones become 1 % smaller. */
const frameSize = 1024 * 1024
/** More than Node has threads for compression: each finds the next frame ready. */
const concurrency = 8
/** Of `zstd` itself. */
const defaultZstdLevel = 3

/**
 * Compresses to frames of their own (RFC 8878), in parallel. Equal bytes give equal results, on each machine with the
 * same library.
 */
export async function* zstdBlocks(
  chunks: AsyncIterable<Buffer>,
  level: number = defaultZstdLevel,
): AsyncGenerator<Buffer> {
  const params = { [constants.ZSTD_c_compressionLevel]: level }
  let isEmpty = true
  const blocks = inBlocks(chunks, {
    size: frameSize,
    concurrency,
    compress: (block) => compress(block, { params }),
  })
  for await (const frame of blocks) {
    isEmpty = false
    yield frame
  }
  if (isEmpty) yield await compress(Buffer.alloc(0), { params })
}
