import { freeChunks } from '../memory/memory.ts'

type Work = {
  /** Bytes of each block, except for the last. */
  readonly size: number
  /** Blocks in work. */
  readonly concurrency: number
  /** Is called in the order of the blocks. */
  readonly compress: (block: Buffer) => Promise<Buffer>
}

/**
 * Compresses blocks in parallel, which know nothing of each other, and returns them in their order. It takes the
 * chunks over, and frees them.
 */
export async function* inBlocks(
  chunks: AsyncIterable<Buffer>,
  { size, concurrency, compress }: Work,
): AsyncGenerator<Buffer> {
  const inWork: Promise<Buffer>[] = []
  try {
    for await (const block of toBlocks(chunks, size)) {
      inWork.push(compress(block).finally(() => freeChunks([block])))
      if (inWork.length < concurrency) continue
      for (const first of inWork.splice(0, 1)) yield await first
    }
    for (const block of inWork.splice(0)) yield await block
  } finally {
    await Promise.allSettled(inWork)
  }
}

async function* toBlocks(chunks: AsyncIterable<Buffer>, blockSize: number): AsyncGenerator<Buffer> {
  let pending: Buffer[] = []
  let size = 0
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + blockSize - size)
      pending.push(part)
      size += part.length
      at += part.length
      if (size < blockSize) continue
      yield joined(pending)
      pending = []
      size = 0
    }
  }
  if (size > 0) yield joined(pending)
}

function joined(parts: readonly Buffer[]): Buffer {
  const [first] = parts
  if (first !== undefined && parts.length === 1) return first
  const block = Buffer.concat(parts)
  freeChunks(parts)
  return block
}
