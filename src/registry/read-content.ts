import { read } from 'node:fs'
import { promisify } from 'node:util'
import type { Chunks } from '../memory/memory.ts'
import type { Content, Piece } from '../oci/content.ts'
import { RegistryError } from '../oci/errors.ts'

const readFd = promisify(read)

/** Bytes of one chunk. */
const chunkSize = 256 * 1024

/**
 * All bytes of a content, or of a range of it (`end` exclusive), in chunks, each in a buffer of its own: the HTTP client sends them after the
 * next one is requested. Closes the content.
 */
export async function* chunksOf(
  content: Content,
  { start = 0, end = content.size }: { readonly start?: number; readonly end?: number } = {},
): AsyncGenerator<Chunks, void, undefined> {
  try {
    for (let position = start; position < end; ) {
      const piece = await content.next(position, end)
      const chunk = (await nextOf(piece, position)).subarray(0, end - position)
      position += chunk.length
      yield [chunk]
    }
  } finally {
    content.close()
  }
}

async function nextOf(piece: Piece, position: number): Promise<Buffer> {
  if (piece.kind === 'bytes') return Buffer.from(piece.bytes)
  const buffer = Buffer.allocUnsafeSlow(Math.min(chunkSize, piece.end - position))
  const { bytesRead } = await readFd(piece.fd, buffer, 0, buffer.length, position)
  if (bytesRead > 0) return buffer.subarray(0, bytesRead)
  throw new RegistryError('UNKNOWN', {
    message: 'the bytes cannot be read from the disk any more',
  })
}
