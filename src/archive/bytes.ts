/** The bytes of all chunks without the first `start`. */
export async function* skipBytes(
  chunks: AsyncIterable<Buffer>,
  start: number,
): AsyncGenerator<Buffer> {
  let left = start
  for await (const chunk of chunks) {
    if (left < chunk.length) yield chunk.subarray(left)
    left = Math.max(left - chunk.length, 0)
  }
}

export async function* oneChunk(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}
