import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { freeChunks } from '../memory/memory.ts'
import { createDigester, type Digest, digestOf, isDigest } from '../oci/digest.ts'
import { ArchiveError } from './archive-error.ts'
import { type ArchiveFiles, type FileReadOptions, missing } from './archive-files.ts'
import { skipBytes } from './bytes.ts'
import type { Copies, Copy } from './copies.ts'
import { type Compression, compressionOf, decompress } from './decompress.ts'
import { gzipBlocks } from './gzip-blocks.ts'
import type { ReadOptions, SourceBlob } from './image-source.ts'
import type { Limits } from './limits.ts'
import { lastAfter, seenBy } from './verified.ts'
import { zstdBlocks } from './zstd-blocks.ts'

/** `none`: layers stay as large as their files. */
export type LayerCompression =
  | { readonly kind: 'none' }
  | { readonly kind: Compression; readonly level?: number | undefined }

/** Digests and sizes of layers that were compressed before in the same way, by the digest of their uncompressed bytes. */
export interface KnownLayers {
  get(diffId: Digest): SourceBlob | undefined
  set(diffId: Digest, blob: SourceBlob): void
}

/** A layer of a docker archive as it is pushed. */
export type Layer = SourceBlob & {
  readonly mediaType: string
  read(options?: ReadOptions): AsyncIterable<Buffer>
}

type LayerOptions = {
  readonly files: ArchiveFiles
  readonly name: string
  /** From the image's config. */
  readonly diffId: Digest
  readonly compression: LayerCompression
  readonly known?: KnownLayers | undefined
  readonly copies: Copies
  readonly limits: Limits
  readonly signal?: AbortSignal | undefined
}

const mediaType = 'application/vnd.oci.image.layer.v1.tar'

/**
 * Reads the whole layer once, and compares it with its config; a layer that is compressed in the archive is compared
 * while it is read for the registry.
 */
export async function openLayer(options: LayerOptions): Promise<Layer> {
  const { files, name, compression, diffId, known, copies, signal } = options
  const size = await files.size(name)
  if (size === undefined) throw missing(name)
  const read = (how: FileReadOptions = {}) => files.read(name, how)
  const stored = compressionOf(await firstBytes(read({ signal })))
  if (stored !== undefined) {
    const digest = await digestAll(read({ signal, isTransient: true }))
    return {
      digest,
      size,
      mediaType: `${mediaType}+${stored}`,
      read: ({ start = 0, end, ...how } = {}) =>
        end === undefined
          ? skipBytes(asInConfig(read(how), { ...options, size, compression: stored }), start)
          : read({ start, end, ...how }),
    }
  }
  if (compression.kind === 'none') {
    assertSame(name, diffId, await digestAll(read({ signal, isTransient: true })))
    return { digest: diffId, size, mediaType, read }
  }
  const { kind, level } = compression
  const compress = kind === 'gzip' ? gzipBlocks : zstdBlocks
  /** Without a copy, the layer is compressed again for each reader. */
  const compressAgain: Copy = ({ start = 0, signal: until } = {}) =>
    skipBytes(compress(read({ signal: until }), level), start)
  const toLayer = (blob: SourceBlob, copy: Copy = compressAgain): Layer => ({
    ...blob,
    mediaType: `${mediaType}+${kind}`,
    read: copy,
  })
  const seen = known?.get(diffId)
  if (seen !== undefined) {
    assertSame(name, diffId, await digestAll(read({ signal, isTransient: true })))
    return toLayer(seen)
  }
  const uncompressed = createDigester('sha256')
  const compressed = createDigester('sha256')
  const copy = copies.create()
  for await (const chunk of compress(seenBy(uncompressed, read({ signal })), level)) {
    compressed.update(chunk)
    await copy.write(chunk)
    freeChunks([chunk])
  }
  assertSame(name, diffId, uncompressed.digest())
  const blob = { digest: compressed.digest(), size: compressed.size }
  known?.set(diffId, blob)
  return toLayer(blob, copy.end())
}

type Compressed = Pick<LayerOptions, 'name' | 'diffId' | 'limits'> & {
  readonly size: number
  readonly compression: Compression
}

/** The last chunk comes when all are decompressed, in another thread, and have the digest of the config. */
async function* asInConfig(
  chunks: AsyncIterable<Buffer>,
  { name, diffId, limits, size, compression }: Compressed,
): AsyncGenerator<Buffer> {
  const copy = new PassThrough()
  const digest = digestAll(decompress({ chunks: copy, size, compression }, limits))
  const check = async () => {
    copy.end()
    assertSame(name, diffId, await digest)
  }
  async function* copied(): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      if (!copy.write(chunk)) await Promise.race([once(copy, 'drain'), digest])
      yield chunk
    }
  }
  try {
    yield* lastAfter(check, copied())
  } finally {
    copy.destroy()
    await Promise.allSettled([digest])
  }
}

async function digestAll(chunks: AsyncIterable<Buffer>): Promise<Digest> {
  const digester = createDigester('sha256')
  for await (const chunk of chunks) digester.update(chunk)
  return digester.digest()
}

async function firstBytes(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  for await (const chunk of chunks) return chunk
  return Buffer.alloc(0)
}

function assertSame(name: string, expected: Digest, actual: Digest): void {
  if (actual !== expected)
    throw new ArchiveError(
      'invalid',
      `${name} has the digest ${actual}, its config says ${expected}`,
    )
}

/** A name such as `HEX.json`, `HEX/layer.tar` of kaniko, or `blobs/sha256/HEX`, says the digest. */
export function assertNamedDigest(name: string, bytes: Buffer): void {
  const hex = /(?:^|\/)([a-f0-9]{64})(?:\.json)?$/.exec(name)?.[1]
  const named = `sha256:${hex}`
  if (isDigest(named) && digestOf(bytes) !== named)
    throw new ArchiveError('invalid', `${name} has the digest ${digestOf(bytes)}`)
}
