import { algorithmOf, createDigester, type Digest } from '../../oci/digest.ts'
import { ArchiveError } from '../archive-error.ts'
import { withoutCompression } from '../decompress.ts'
import type { Limits } from '../limits.ts'
import type { ByteRange, LayerBlob } from './layer-blob.ts'

/** @throws ArchiveError if the source sends more or fewer bytes than those of the range. */
export async function* bytesIn(blob: LayerBlob, range: ByteRange): AsyncGenerator<Buffer> {
  const size = range.end - range.start
  let got = 0
  for await (const chunk of size > 0 ? blob.read(range) : []) {
    got += chunk.length
    if (got > size) throw wrongLength(blob.digest)
    yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
  }
  if (got < size) throw wrongLength(blob.digest)
}

function wrongLength(digest: Digest): ArchiveError {
  return new ArchiveError('invalid', `the source sent another number of bytes of ${digest}`)
}

/** @throws ArchiveError if there are not exactly `size` bytes. */
export async function collect(chunks: AsyncIterable<Buffer>, size: number): Promise<Buffer> {
  const all: Buffer[] = []
  let got = 0
  for await (const chunk of chunks) {
    got += chunk.length
    if (got > size) break
    all.push(chunk)
  }
  if (got !== size) throw new ArchiveError('invalid', `expected ${size} bytes`)
  return Buffer.concat(all)
}

/**
 * All bytes of a layer, decompressed. A reader that gets to their end knows that the blob has the digest of
 * its descriptor.
 */
export async function* wholeLayer(blob: LayerBlob, limits: Limits): AsyncGenerator<Buffer> {
  yield* withoutCompression({ bytes: verifiedBlob(blob), size: blob.size }, limits)
}

/** @throws ArchiveError at their end if they are not those of the digest. */
export async function* verifiedBlob(blob: LayerBlob): AsyncGenerator<Buffer> {
  const digester = createDigester(algorithmOf(blob.digest))
  for await (const chunk of bytesIn(blob, { start: 0, end: blob.size })) {
    digester.update(chunk)
    yield chunk
  }
  if (digester.digest() !== blob.digest)
    throw new ArchiveError('invalid', `the source sent other bytes than those of ${blob.digest}`)
}

type VerifiedPart = {
  readonly skip: number
  readonly size: number
  readonly digest?: Digest | undefined
}

/**
 * The next `size` bytes after the first `skip` ones. The last of them come only when all have the digest.
 * @throws ArchiveError
 */
export async function* verifiedPart(
  chunks: AsyncIterable<Buffer>,
  { skip, size, digest }: VerifiedPart,
): AsyncGenerator<Buffer> {
  const digester = createDigester(digest === undefined ? 'sha256' : algorithmOf(digest))
  let held: Buffer | undefined
  let before = skip
  for await (const chunk of chunks) {
    const part = chunk.subarray(before, before + size - digester.size)
    before = Math.max(before - chunk.length, 0)
    if (part.length === 0) continue
    if (held !== undefined) yield held
    held = part
    digester.update(part)
    if (digester.size === size) break
  }
  if (digester.size !== size || digester.digest() !== digest)
    throw new ArchiveError('invalid', 'the content of a file is not what its layer says')
  if (held !== undefined) yield held
}
