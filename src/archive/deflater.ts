import { constants, createDeflateRaw } from 'node:zlib'

/**
 * A smaller window (16 KiB) and a larger hash table save a seventh of the time of the lowest level, for 0.3 % more
 * bytes. Each write ends with a full
 * flush: its output is complete, and the next one refers to nothing before it.
 */
const options = {
  windowBits: 14,
  memLevel: 9,
  flush: constants.Z_FULL_FLUSH,
  /** Bytes that are allocated for output at a time; and those that may wait, so that no write waits. */
  chunkSize: 256 * 1024,
  readableHighWaterMark: 4 * 1024 * 1024,
}

/** Compresses blocks, in their order, in another thread. */
interface Deflater {
  /** Deflate blocks (RFC 1951) that end at a byte, and of which none is the last. */
  deflate(block: Buffer): Promise<Buffer>
  close(): void
}

/** One for many blocks: each new one would allocate its tables, and collecting them took a fifth of the time. */
export function createDeflater(level: number): Deflater {
  const stream = createDeflateRaw({ ...options, level })
  return {
    deflate: (block) =>
      new Promise((resolve, reject) => {
        stream.write(block, (error) => {
          if (error) return reject(error)
          const output: Buffer | null = stream.read()
          resolve(output ?? Buffer.alloc(0))
        })
      }),
    close: () => stream.destroy(),
  }
}
