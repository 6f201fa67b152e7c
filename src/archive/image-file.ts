import { z } from 'zod'
import { type Digest, isDigest } from '../oci/digest.ts'
import { isImageConfig } from '../oci/image-config.ts'
import { ArchiveError } from './archive-error.ts'
import { parse } from './docker-archive.ts'
import { titleAnnotation } from './file-image.ts'
import type { ImageSource, SourceManifest } from './image-source.ts'
import { layerBytes, verifiedBytes } from './layer-bytes.ts'
import { defaultLimits } from './limits.ts'
import { tarEntries } from './tar-entries.ts'
import { chooseChild } from './write-archive.ts'

/** A file that an image or an artifact holds as a layer. */
export type ImageFile = {
  /** Its name, a relative path. */
  readonly title: string
  readonly chunks: AsyncIterable<Buffer>
}

const schema = z.object({
  config: z.object({ mediaType: z.string() }).nullish().catch(undefined),
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

type Layer = NonNullable<z.infer<typeof schema>['layers']>[number]
type Options = { readonly platform: string; readonly signal?: AbortSignal | undefined }

/**
 * The file of an image that {@link fileAsImage} made, or the files of an artifact: its layers with a title. An
 * artifact's layers are files whatever their type is: ORAS gives them the type of a tar layer by default.
 * @throws ArchiveError `not-an-image` if the image is anything else, `invalid` for a title that is no path.
 */
export async function titledFiles(
  source: ImageSource,
  digest: Digest,
  { platform, signal }: Options,
): Promise<readonly ImageFile[]> {
  const manifest = await manifestFor(source, await source.manifest(digest), platform)
  const { config, layers } = parse(schema, manifest.bytes, 'the manifest')
  const titled = (layers ?? []).flatMap((layer) => {
    const title = layer.annotations?.[titleAnnotation]
    return title === undefined ? [] : [{ layer, title: parseTitle(title) }]
  })
  const isImage = config != null && isImageConfig(config.mediaType)
  if (titled.length === 0 || (isImage && layers?.length !== 1))
    throw new ArchiveError(
      'not-an-image',
      'it is neither an image of one file nor an artifact with files: its layers need title annotations',
    )
  if (new Set(titled.map(({ title }) => title)).size < titled.length)
    throw new ArchiveError('invalid', 'two of its layers have the same title')
  return titled.map(({ layer, title }) => ({
    title,
    chunks: isImage ? fileOf(source, layer, signal) : verifiedBytes(source, layer, signal),
  }))
}

/**
 * The danger: a title that leads out of the directory to which the file is written.
 */
function parseTitle(title: string): string {
  const parts = title.split('/')
  const isPath = parts.every((part) => part !== '' && part !== '.' && part !== '..')
  if (!isPath || /[\\\0]/.test(title))
    throw new ArchiveError('invalid', 'the title of a layer is not a relative path')
  return title
}

function fileOf(
  source: ImageSource,
  layer: Layer,
  signal: AbortSignal | undefined,
): AsyncIterable<Buffer> {
  const isTar = /\.tar(?:\+|\.|$)/.test(layer.mediaType)
  return isTar
    ? firstFile(layerBytes(source, layer, { limits: defaultLimits, signal }))
    : verifiedBytes(source, layer, signal)
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
