import { Readable } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { ArchiveError } from './archive-error.ts'
import { freeOfRatio, type Limits } from './limits.ts'
import { zstdFrames } from './zstd-frames.ts'

export type Compression = 'gzip' | 'zstd'

const magics: Readonly<Record<Compression, readonly number[]>> = {
  gzip: [0x1f, 0x8b],
  zstd: [0x28, 0xb5, 0x2f, 0xfd],
}

/** By the first bytes, because names say little: undefined means that it is not compressed. */
export function compressionOf(first: Buffer): Compression | undefined {
  const isIt = (kind: Compression) => magics[kind].every((byte, at) => first[at] === byte)
  return isIt('gzip') ? 'gzip' : isIt('zstd') ? 'zstd' : undefined
}

/** Node has no decoder for it; without this, it would be read as a broken tar file. */
export function isXz(first: Buffer): boolean {
  return first.equals(Buffer.from([0xfd, 0x37, 0x7a, 0x58]))
}

type Compressed = {
  readonly chunks: AsyncIterable<Buffer>
  /** Bytes of all chunks. */
  readonly size: number
  readonly compression: Compression
}

/**
 * Decompresses within limits of our own, because Node's streams ignore `maxOutputLength`.
 * @throws ArchiveError `incomplete`, `invalid`, or `too-large`.
 */
export async function* decompress(
  { chunks, size: compressedSize, compression }: Compressed,
  limits: Limits,
): AsyncGenerator<Buffer> {
  const options = { chunkSize: 256 * 1024 }
  const isGzip = compression === 'gzip'
  const stream = isGzip ? createGunzip(options) : createZstdDecompress(options)
  const source = Readable.from(isGzip ? chunks : zstdFrames(chunks), { objectMode: false })
  source.on('error', (error) => stream.destroy(error))
  source.pipe(stream)
  let size = 0
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      size += chunk.length
      const isBomb = size > freeOfRatio && size > stream.bytesWritten * limits.ratio
      if (size > limits.size || isBomb)
        throw new ArchiveError(
          'too-large',
          `it decompresses to more than ${isBomb ? `${limits.ratio} times its size` : `${limits.size} bytes`}`,
        )
      yield chunk
    }
    // Node ignores what follows the last member.
    if (isGzip && stream.bytesWritten !== compressedSize)
      throw new ArchiveError('invalid', 'other bytes follow the compressed data')
  } catch (error) {
    throw toArchiveError(error)
  } finally {
    source.destroy()
    stream.destroy()
  }
}

const truncated = ['Z_BUF_ERROR', 'ZSTD_error_srcSize_wrong']

function toArchiveError(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (truncated.includes(code))
    return new ArchiveError('incomplete', 'the compressed data ends too early', error)
  if (code === 'ZSTD_error_frameParameter_windowTooLarge')
    return new ArchiveError(
      'invalid',
      'reading it takes a zstd window above 128 MiB; compress it without --long, or with --long=27',
      error,
    )
  const isCorrupt = code.startsWith('Z_') || code.startsWith('ZSTD')
  return isCorrupt ? new ArchiveError('invalid', 'the compressed data is corrupt', error) : error
}

/** The bytes of a layer as they are in its tar file, whatever its compression. `size`: of the compressed bytes. */
export async function* withoutCompression(
  { bytes, size }: { readonly bytes: AsyncGenerator<Buffer>; readonly size: number },
  limits: Limits,
): AsyncGenerator<Buffer> {
  try {
    const first = await bytes.next()
    if (first.done === true) return
    const chunks = withFirst(first.value, bytes)
    const compression = compressionOf(first.value)
    if (compression === undefined) yield* chunks
    else yield* decompress({ chunks, size, compression }, limits)
  } finally {
    await bytes.return(undefined)
  }
}

async function* withFirst(first: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield first
  yield* rest
}
