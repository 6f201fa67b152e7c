/** Buffers as they arrive from a socket. Concatenating them would copy them. */
export type Chunks = readonly Buffer[]

/** Total number of bytes. */
export function bytesIn(chunks: Chunks): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0)
}

/** The chunks without the first `bytes`. No chunk of the result is empty. */
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
 * Releases the memory of chunks that have no readers any more. The garbage collector would need half of
 * the CPU time for it.
 */
export function freeChunks(chunks: Chunks): void {
  for (const { buffer, byteOffset, length } of chunks) {
    // The danger: other code may read the rest of a shared ArrayBuffer, such as Node's pool of small
    // buffers, and reuse an empty buffer, as undici does.
    if (length === 0 || byteOffset !== 0 || length !== buffer.byteLength) continue
    if (buffer instanceof ArrayBuffer) buffer.transfer(0)
  }
}
