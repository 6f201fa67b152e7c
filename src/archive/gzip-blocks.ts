import { promisify } from 'node:util'
import { gzip } from 'node:zlib'

const compress = promisify(gzip)

/** Bytes of a block before compression. Larger ones compress better by less than one in a thousand. */
const blockSize = 1024 * 1024
/** Blocks in work: Node compresses in four threads. */
const concurrency = 4
/**
 * The fastest level: layers are compressed twice, once for the digest and once for the upload, so that no
 * copy of a layer is needed on disk.
 */
const level = 1
/** Bytes from a block, in four parts, that show whether it compresses at all: if not, that takes longest. */
const sampleSize = 32 * 1024
const sampleParts = 4
const incompressible = 0.98
/** Byte of a gzip header that names the operating system (RFC 1952, section 2.3.1); 255: unknown. */
const systemAt = 9

/**
 * Compresses in parallel: each block becomes a gzip member of its own (RFC 1952, section 2.2: a file is a
 * series of members). Equal bytes give equal results, on each machine with the same zlib.
 */
export async function* gzipBlocks(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const inWork: Promise<Buffer>[] = []
  try {
    for await (const block of toBlocks(chunks)) {
      inWork.push(gzipBlock(block))
      if (inWork.length < concurrency) continue
      for (const first of inWork.splice(0, 1)) yield await first
    }
    for (const block of inWork.splice(0)) yield await block
  } finally {
    await Promise.allSettled(inWork)
  }
}

async function gzipBlock(block: Buffer): Promise<Buffer> {
  const member = await compress(block, { level: (await isCompressed(block)) ? 0 : level })
  member[systemAt] = 255
  return member
}

/** Such as an archive in the layer. */
async function isCompressed(block: Buffer): Promise<boolean> {
  if (block.length < 2 * sampleSize) return false
  const part = sampleSize / sampleParts
  const distance = Math.floor(block.length / sampleParts)
  const parts = Array.from({ length: sampleParts }, (_, at) =>
    block.subarray(at * distance, at * distance + part),
  )
  const sample = await compress(Buffer.concat(parts), { level })
  return sample.length > incompressible * sampleSize
}

/** Blocks of exactly `blockSize`, except for the last; one empty block if there are no bytes at all. */
async function* toBlocks(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let pending: Buffer[] = []
  let size = 0
  let isEmpty = true
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + blockSize - size)
      pending.push(part)
      size += part.length
      at += part.length
      if (size < blockSize) continue
      yield pending.length === 1 ? part : Buffer.concat(pending)
      pending = []
      size = 0
      isEmpty = false
    }
  }
  if (size > 0 || isEmpty) yield Buffer.concat(pending)
}
