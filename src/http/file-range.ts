import { read } from 'node:fs'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { promisify } from 'node:util'
import type { Rest } from '../oci/content.ts'

/**
 * A range of an open file, from `position` to `until` (exclusive). The sender calls `onSent` with the
 * number of bytes of each write.
 */
export type FileRange = {
  readonly file: number
  readonly position: number
  readonly until: number
  /** What may follow; who does not check its condition stops at `until`. */
  readonly rest?: Rest | undefined
  readonly onSent: (bytes: number) => void
}

const readAt = promisify(read)

/** The client closed the connection before all bytes were sent; not an error of the content. */
export class ClientDisconnected extends Error {
  override readonly name = 'ClientGone'

  constructor(cause?: unknown) {
    super('the client closed the connection', { cause })
  }
}

/** Reads at least one byte from `position` on, in the thread pool. */
export async function readInto(
  buffer: Buffer,
  file: number,
  position: number,
  count: number,
): Promise<number> {
  const { bytesRead } = await readAt(file, buffer, 0, Math.min(count, buffer.length), position)
  if (bytesRead === 0) throw fileTooShort(position)
  return bytesRead
}

/**
 * Writes to a stream. Resolves when the kernel has taken the bytes, so that the buffer can be used again;
 * rejects with ClientDisconnected when the connection is closed.
 */
export function writeAll(stream: Socket | ServerResponse, bytes: Buffer): Promise<void> {
  const done = Promise.withResolvers<void>()
  stream.write(bytes, (error) =>
    error ? done.reject(new ClientDisconnected(error)) : done.resolve(),
  )
  return done.promise
}

export function fileTooShort(position: number): Error {
  return new Error(`the file is shorter than its content: it ends at byte ${position}`)
}
