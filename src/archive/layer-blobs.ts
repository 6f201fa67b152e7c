import { z } from 'zod'
import { type Digest, isDigest } from '../oci/digest.ts'
import { parseManifestDetails } from '../oci/manifest.ts'
import { ArchiveError } from './archive-error.ts'
import { parse } from './docker-archive.ts'
import type { ImageSource, SourceManifest } from './image-source.ts'
import type { LayerBlob } from './layer-files/layer-files.ts'
import { chooseChild } from './write-archive.ts'

/** An image whose files can be read. */
export type OpenImage = {
  /** Of its manifest, not of an index. */
  readonly digest: Digest
  readonly config: LayerBlob
  readonly layers: readonly LayerBlob[]
}

const descriptorSchema = z.object({
  mediaType: z.string(),
  digest: z.string().refine(isDigest),
  size: z.int().nonnegative(),
  urls: z.array(z.string()).nullish(),
  annotations: z.record(z.string(), z.string()).nullish(),
})
const schema = z.object({
  config: descriptorSchema,
  layers: z.array(descriptorSchema).max(1000).nullish(),
})

const configTypes = [
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
]

/** Reads bytes of a blob of the image; may send more than those of the range. */
type ReadBlob = (
  blob: { readonly digest: Digest; readonly size: number },
  range: {
    readonly start: number
    readonly end: number
    readonly signal?: AbortSignal | undefined
  },
) => AsyncIterable<Uint8Array>

/**
 * The config and the layers of an image, with their annotations.
 * @throws ArchiveError `not-an-image` for an artifact or an index.
 */
function imageBlobs({ digest, bytes, mediaType }: SourceManifest, read: ReadBlob): OpenImage {
  const details = parseManifestDetails(bytes, mediaType)
  if (details.config === undefined || !configTypes.includes(details.config.mediaType))
    throw new ArchiveError('not-an-image', 'it is not an image, but another kind of artifact')
  const { config, layers } = parse(schema, bytes, 'the manifest')
  const toBlob = ({ urls, annotations, ...rest }: z.infer<typeof descriptorSchema>): LayerBlob => {
    if (urls && urls.length > 0)
      throw new ArchiveError('missing', 'the image has layers that are distributed elsewhere')
    return {
      ...rest,
      annotations: annotations ?? {},
      read: (range) => upTo(read(rest, range), range.end - range.start),
    }
  }
  return { digest, config: toBlob(config), layers: (layers ?? []).map(toBlob) }
}

/** The image of a source, or of an index the one for the platform (`os/architecture[/variant]`). */
export async function openImage(
  source: ImageSource,
  digest: Digest,
  platform: string,
): Promise<OpenImage> {
  const root = await source.manifest(digest)
  const child = chooseChild(root, platform)
  if (child !== undefined) return openImage(source, child.digest, platform)
  return imageBlobs(root, (blob, range) => source.read(blob, range))
}

async function* upTo(chunks: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  let left = size
  if (left === 0) return
  for await (const chunk of chunks) {
    yield chunk.subarray(0, left)
    left -= chunk.length
    if (left <= 0) return
  }
}
