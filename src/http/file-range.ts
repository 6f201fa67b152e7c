import { read } from 'node:fs'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { promisify } from 'node:util'

/**
 * Part of an open file, from `position` to `until` (exclusive). `sent` is told of the bytes as
 * they go.
 */
export type FileRange = {
  readonly file: number
  readonly position: number
  readonly until: number
  readonly onSent: (bytes: number) => void
}

const readAt = promisify(read)

/** The connection ended before all was sent: the fault of nothing here. */
export class ClientDisconnected extends Error {
  override readonly name = 'ClientGone'

  constructor(cause?: unknown) {
    super('the client is gone', { cause })
  }
}

/** Reads from `position` on, by the thread pool; at least one byte. */
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
 * Resolves when the kernel has the bytes, so that their buffer is free again; rejects when the
 * connection is gone.
 */
export function writeAll(stream: Socket | ServerResponse, bytes: Buffer): Promise<void> {
  const done = Promise.withResolvers<void>()
  stream.write(bytes, (error) =>
    error ? done.reject(new ClientDisconnected(error)) : done.resolve(),
  )
  return done.promise
}

export function fileTooShort(position: number): Error {
  return new Error(`the file ends at ${position}, before its content does`)
}
