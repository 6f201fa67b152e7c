/** Bytes in pieces, as they came from a socket: joining them would copy them. */
export type Chunks = readonly Buffer[]

/** Bytes in all. */
export function bytesIn(chunks: Chunks): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0)
}

/** What is left without the first `bytes`; no piece of it is empty. */
export function withoutFirst(chunks: Chunks, bytes: number): Chunks {
  let skip = bytes
  return chunks.flatMap((chunk) => {
    const skipped = Math.min(skip, chunk.length)
    skip -= skipped
    if (skipped === chunk.length) return []
    return skipped === 0 ? [chunk] : [chunk.subarray(skipped)]
  })
}

/**
 * Gives the memory of chunks back that nobody looks at any more. The garbage collector, which knows
 * of their size but not that they are done with, would be at work half of the time.
 */
export function freeChunks(chunks: Chunks): void {
  for (const { buffer, byteOffset, length } of chunks) {
    // Part of something larger may have other readers, as Node's pool of small buffers has; and an
    // empty one may be the one that somebody uses whenever he needs one, as undici does.
    if (length === 0 || byteOffset !== 0 || length !== buffer.byteLength) continue
    if (buffer instanceof ArrayBuffer) buffer.transfer(0)
  }
}
