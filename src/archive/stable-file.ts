import { constants, type Stats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { ArchiveError } from './archive-error.ts'

/** As large as the blocks that layers are compressed in, so that none is copied. */
const chunkSize = 256 * 1024

/** A regular file that must not change while it is read. */
export interface StableFile {
  /** Bytes. */
  readonly size: number
  /** Exactly `length` bytes. */
  bytes(position: number, length: number): Promise<Buffer>
  /** Bytes from `start` to `end` (exclusive). */
  chunks(range: {
    readonly start: number
    readonly end: number
    readonly signal?: AbortSignal | undefined
    /** Each chunk is valid until the next one is asked for: its buffer is used again. */
    readonly isTransient?: boolean | undefined
  }): AsyncIterable<Buffer>
  /** @throws ArchiveError `changed` if the file is not what it was when it was opened. */
  assertUnchanged(): Promise<void>
  close(): Promise<void>
}

/**
 * Opens a file without following a link.
 *
 * The danger: opening a FIFO blocks a thread for ever (cases.md, T13), so it is opened without blocking,
 * and its kind is checked before anything is read.
 */
export async function openStableFile(path: string): Promise<StableFile> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const handle = await open(path, flags)
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) throw new ArchiveError('invalid', 'not a regular file')
    return stableFile(handle, stat)
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** A temporary file that no one else can write to, for example. */
export function stableFile(handle: FileHandle, before: Stats): StableFile {
  const { size } = before

  const readInto = async (buffer: Buffer, position: number) => {
    const { length } = buffer
    let got = 0
    while (got < length) {
      const { bytesRead } = await handle.read(buffer, got, length - got, position + got)
      if (bytesRead === 0) {
        const isShorter = position + got < size
        throw isShorter ? changed() : new ArchiveError('incomplete', 'the file ends too early')
      }
      got += bytesRead
    }
    return buffer
  }

  const bytes: StableFile['bytes'] = (position, length) =>
    readInto(Buffer.allocUnsafeSlow(length), position)

  return {
    size,
    bytes,
    async *chunks({ start, end, signal, isTransient = false }) {
      // One that is in use, and one that the next chunk is read into.
      const buffers = isTransient ? [0, 1].map(() => Buffer.allocUnsafeSlow(chunkSize)) : []
      const bufferFor = (position: number, length: number) =>
        buffers[((position - start) / chunkSize) % 2]?.subarray(0, length) ??
        Buffer.allocUnsafeSlow(length)
      const readAt = (position: number) => {
        const length = Math.min(chunkSize, end - position)
        const reading = readInto(bufferFor(position, length), position)
        // Its error is thrown when its turn comes, or never, if the reader leaves before.
        reading.catch(() => {})
        return reading
      }
      let next = start < end ? readAt(start) : undefined
      try {
        for (let position = start; position < end && next !== undefined; position += chunkSize) {
          signal?.throwIfAborted()
          const chunk = await next
          // The next chunk is read while this one is used.
          next = position + chunkSize < end ? readAt(position + chunkSize) : undefined
          yield chunk
        }
      } finally {
        // The danger: the file is closed while it is read.
        await Promise.allSettled([next])
      }
    },
    assertUnchanged: async () => {
      const now = await handle.stat()
      if (now.size !== size || now.mtimeMs !== before.mtimeMs) throw changed()
    },
    close: () => handle.close(),
  }
}

function changed(): ArchiveError {
  return new ArchiveError('changed', 'the file changed while it was read')
}
