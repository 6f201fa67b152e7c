import { z } from 'zod'
import { type Digest, isDigest } from '../oci/digest.ts'
import { ArchiveError } from './archive-error.ts'
import { compressionOf, decompress } from './decompress.ts'
import { parse } from './docker-archive.ts'
import { titleAnnotation } from './file-image.ts'
import type { ImageSource, SourceManifest } from './image-source.ts'
import { defaultLimits } from './limits.ts'
import { blockSize, parseTarHeader } from './tar-header.ts'
import { chooseChild } from './write-archive.ts'

/** A file that an image or an artifact holds as its only layer. */
export type ImageFile = {
  /** Its name, without directories. */
  readonly title: string
  readonly chunks: AsyncIterable<Buffer>
}

const schema = z.object({
  layers: z
    .array(
      z.object({
        mediaType: z.string(),
        digest: z.string().refine(isDigest),
        size: z.int().nonnegative(),
        annotations: z.record(z.string(), z.string()).nullish(),
      }),
    )
    .nullish(),
})

/**
 * The file of an image that {@link fileAsImage} made, or of an artifact with one file.
 * @throws ArchiveError `not-an-image` if the image is anything else.
 */
export async function imageFile(
  source: ImageSource,
  digest: Digest,
  { platform, signal }: { readonly platform: string; readonly signal?: AbortSignal | undefined },
): Promise<ImageFile> {
  const manifest = await manifestFor(source, await source.manifest(digest), platform)
  const { layers } = parse(schema, manifest.bytes, 'the manifest')
  const [layer, ...others] = layers ?? []
  const title = layer?.annotations?.[titleAnnotation]
  if (layer === undefined || others.length > 0 || title === undefined)
    throw new ArchiveError(
      'not-an-image',
      'it is not an image of one file: it needs one layer with a title annotation',
    )
  if (title === '' || title === '.' || title === '..' || /[/\\\0]/.test(title))
    throw new ArchiveError('invalid', 'the title of its layer is not a file name')
  const chunks = source.read(layer, { signal })
  const isTar = /\.tar(?:\+|\.|$)/.test(layer.mediaType)
  return { title, chunks: isTar ? firstFile(plain(chunks, layer.size)) : chunks }
}

async function manifestFor(
  source: ImageSource,
  manifest: SourceManifest,
  platform: string,
): Promise<SourceManifest> {
  const child = chooseChild(manifest, platform)
  return child === undefined ? manifest : source.manifest(child.digest)
}

async function* plain(chunks: AsyncIterable<Buffer>, size: number): AsyncGenerator<Buffer> {
  const iterator = chunks[Symbol.asyncIterator]()
  const first = await iterator.next()
  if (first.done) return
  async function* all(): AsyncGenerator<Buffer> {
    yield first.value
    yield* { [Symbol.asyncIterator]: () => iterator }
  }
  const compression = compressionOf(first.value)
  if (compression === undefined) yield* all()
  else yield* decompress({ chunks: all(), size, compression }, defaultLimits)
}

/** The content of the first file of a tar stream, which is read to its end. */
async function* firstFile(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let buffered: Buffer = Buffer.alloc(0)
  /** Bytes to skip, then undefined while a header is next, then what is left of the file. */
  let skip = 0
  let left: number | undefined
  for await (const chunk of chunks) {
    if (left === 0) continue
    buffered = buffered.length === 0 ? chunk : Buffer.concat([buffered, chunk])
    while (left === undefined && buffered.length >= skip + blockSize) {
      const header = parseTarHeader(buffered.subarray(skip, skip + blockSize))
      if (header === undefined) throw new ArchiveError('invalid', 'the layer has no file')
      if (header.type === '0') left = header.size
      // The records before the file have its name, which the title says as well.
      skip += blockSize + (left === undefined ? Math.ceil(header.size / blockSize) * blockSize : 0)
    }
    if (left === undefined) continue
    const part = buffered.subarray(skip, skip + left)
    skip = Math.max(skip - buffered.length, 0)
    left -= part.length
    buffered = Buffer.alloc(0)
    if (part.length > 0) yield part
  }
  if (left !== 0) throw new ArchiveError('invalid', 'the layer ends in the middle of its file')
}
