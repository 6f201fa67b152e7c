/** Bytes in pieces, as they came from a socket: joining them would copy them. */
export type Chunks = readonly Buffer[]

/** Bytes in all. */
export function sizeOf(chunks: Chunks): number {
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
