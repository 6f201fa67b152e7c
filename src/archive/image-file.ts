import { z } from 'zod'
import { type Digest, isDigest } from '../oci/digest.ts'
import { ArchiveError } from './archive-error.ts'
import { parse } from './docker-archive.ts'
import { titleAnnotation } from './file-image.ts'
import type { ImageSource, SourceManifest } from './image-source.ts'
import { layerBytes, verifiedBytes } from './layer-bytes.ts'
import { defaultLimits } from './limits.ts'
import { tarEntries } from './tar-entries.ts'
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
  const isTar = /\.tar(?:\+|\.|$)/.test(layer.mediaType)
  const chunks = isTar
    ? firstFile(layerBytes(source, layer, { limits: defaultLimits, signal }))
    : verifiedBytes(source, layer, signal)
  return { title, chunks }
}

async function manifestFor(
  source: ImageSource,
  manifest: SourceManifest,
  platform: string,
): Promise<SourceManifest> {
  const child = chooseChild(manifest, platform)
  return child === undefined ? manifest : source.manifest(child.digest)
}

/** The content of the first file of a layer, which is read to its end. */
async function* firstFile(layer: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let isFound = false
  for await (const { type, content } of tarEntries(layer, defaultLimits)) {
    if (isFound || !'07'.includes(type)) continue
    isFound = true
    yield* content
  }
  if (!isFound) throw new ArchiveError('invalid', 'the layer has no file')
}
