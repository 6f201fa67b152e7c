import type { ServerResponse } from 'node:http'
import { type Buffers, bufferSize } from './buffers.ts'
import { readInto, type Stretch, written } from './stretch.ts'

/**
 * Takes a stretch of a file through our own memory, as TLS needs it: the next part is read while
 * the last is written.
 */
export async function sendByReading(
  response: ServerResponse,
  { file, position, until, onSent }: Stretch,
  buffers: Buffers,
): Promise<void> {
  const readAt = async (at: number) => {
    const buffer = buffers.take()
    return { buffer, length: await readInto(buffer, file, at, Math.min(bufferSize, until - at)) }
  }
  let reading = readAt(position)
  for (let at = position; at < until; ) {
    const { buffer, length } = await reading
    at += length
    if (at < until) reading = readAt(at)
    // Should writing fail, nobody waits for it.
    reading.catch(() => {})
    await written(response, buffer.subarray(0, length))
    buffers.give(buffer)
    onSent(length)
  }
}
