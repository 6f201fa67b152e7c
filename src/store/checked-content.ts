import type { FileHandle } from 'node:fs/promises'
import type { Content } from '../oci/content.ts'
import type { Digest } from '../oci/digest.ts'
import { areIntact, type BlockChecksums, blockSize } from './block-checksums.ts'
import { readOrEnd } from './files.ts'

/** Bytes that are read and compared at once: whole blocks. */
const pieceSize = 4 * blockSize

type CheckedContentOptions = {
  readonly digest: Digest
  readonly file: FileHandle
  readonly checksums: BlockChecksums
  /** A block is corrupt: returns the error for the reader. */
  readonly onCorrupt: () => Promise<Error>
  readonly onClosed: () => void
}

/**
 * Reads ranges of a stored blob that was not verified since the start: each block is compared with
 * its checksum before any of it is returned. The returned bytes are the same buffer that was
 * compared.
 */
export function createCheckedContent(options: CheckedContentOptions): Content {
  const { digest, file, checksums, onCorrupt, onClosed } = options
  const { size } = checksums
  const buffer = Buffer.allocUnsafeSlow(Math.min(pieceSize, size))
  let isOpen = true

  return {
    digest,
    size,
    next: async (position) => {
      const start = position - (position % blockSize)
      const piece = buffer.subarray(0, Math.min(pieceSize, size - start))
      const length = await readFully(file, piece, start)
      if (length < piece.length || !areIntact(piece, checksums, start / blockSize))
        throw await onCorrupt()
      return { kind: 'bytes', bytes: piece.subarray(position - start) }
    },
    close: () => {
      if (!isOpen) return
      isOpen = false
      file.close().then(onClosed, onClosed)
    },
  }
}

/** Returns the number of bytes read; less than the buffer only at the end of the file. */
async function readFully(file: FileHandle, buffer: Buffer, position: number): Promise<number> {
  let length = 0
  while (length < buffer.length) {
    const bytes = await readOrEnd(file, buffer.subarray(length), position + length)
    if (bytes === 0) break
    length += bytes
  }
  return length
}
