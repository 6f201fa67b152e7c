import type { ServerResponse } from 'node:http'
import type { Buffers } from './buffers.ts'
import { type FileRange, readInto, writeAll } from './file-range.ts'

/**
 * Sends a file range by reading it into memory, as TLS requires: reads the next buffer while the last one
 * is written.
 */
export async function sendByReading(
  response: ServerResponse,
  { file, position, until, onSent }: FileRange,
  { buffers, bufferSize }: { readonly buffers: Buffers; readonly bufferSize: number },
): Promise<void> {
  const readAt = async (at: number) => {
    const buffer = buffers.acquire(bufferSize)
    return { buffer, length: await readInto(buffer, file, at, Math.min(bufferSize, until - at)) }
  }
  let reading = readAt(position)
  for (let at = position; at < until; ) {
    const { buffer, length } = await reading
    at += length
    if (at < until) reading = readAt(at)
    // If the write fails, the read is not awaited: avoid an unhandled rejection.
    reading.catch(() => {})
    await writeAll(response, buffer.subarray(0, length))
    buffers.release(buffer)
    onSent(length)
  }
}
