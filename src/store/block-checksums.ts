import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { Digest } from '../oci/digest.ts'

/** Bytes that one checksum covers. */
export const blockSize = 64 * 1024

/**
 * A CRC-32 for each block of a blob, as in file systems. It is computed while the blob is written,
 * kept once the digest of the blob is verified, and later proves that a block on the disk is
 * unchanged. It detects accidents, not attackers: against those, the digest of the whole blob
 * protects.
 */
export type BlockChecksums = {
  /** Bytes of the blob. */
  readonly size: number
  readonly blocks: readonly number[]
}

/** Computes checksums of bytes that arrive in pieces of any size. */
export interface BlockChecksummer {
  update(bytes: Buffer): void
  finish(): BlockChecksums
}

export function createBlockChecksummer(): BlockChecksummer {
  const blocks: number[] = []
  let size = 0
  let current = 0
  return {
    update: (bytes) => {
      for (let at = 0; at < bytes.length; ) {
        const part = bytes.subarray(at, at + blockSize - (size % blockSize))
        current = crc32(part, current)
        at += part.length
        size += part.length
        if (size % blockSize > 0) continue
        blocks.push(current)
        current = 0
      }
    },
    finish: () => ({ size, blocks: size % blockSize > 0 ? [...blocks, current] : [...blocks] }),
  }
}

/**
 * Whether `bytes`, which start at block `first` and end at the end of a block, match their
 * checksums.
 */
export function areIntact(bytes: Buffer, { blocks }: BlockChecksums, first: number): boolean {
  for (let at = 0; at < bytes.length; at += blockSize)
    if (crc32(bytes.subarray(at, at + blockSize)) !== blocks[first + at / blockSize]) return false
  return true
}

const magic = Buffer.from('berthcrc')
const headSize = magic.length + 8
const sealSize = 32

/** Length in bytes of the result of `formatChecksums` for a blob of `size` bytes. */
export function formattedSize(size: number): number {
  return headSize + 4 * Math.ceil(size / blockSize) + sealSize
}

/** The file format: magic, size, checksums, and a SHA-256 over these and the digest of the blob. */
export function formatChecksums(digest: Digest, { size, blocks }: BlockChecksums): Buffer {
  const bytes = Buffer.alloc(formattedSize(size))
  magic.copy(bytes)
  bytes.writeBigUInt64LE(BigInt(size), magic.length)
  for (const [at, block] of blocks.entries()) bytes.writeUInt32LE(block, headSize + 4 * at)
  seal(digest, bytes.subarray(0, -sealSize)).copy(bytes, bytes.length - sealSize)
  return bytes
}

/** Undefined when the bytes are damaged or belong to another digest. */
export function parseChecksums(digest: Digest, bytes: Buffer): BlockChecksums | undefined {
  if (bytes.length < headSize + sealSize || !bytes.subarray(0, magic.length).equals(magic))
    return undefined
  const size = Number(bytes.readBigUInt64LE(magic.length))
  if (bytes.length !== formattedSize(size)) return undefined
  if (!seal(digest, bytes.subarray(0, -sealSize)).equals(bytes.subarray(-sealSize)))
    return undefined
  const blocks = Array.from({ length: Math.ceil(size / blockSize) }, (_, at) =>
    bytes.readUInt32LE(headSize + 4 * at),
  )
  return { size, blocks }
}

function seal(digest: Digest, bytes: Buffer): Buffer {
  return createHash('sha256').update(digest).update(bytes).digest()
}
