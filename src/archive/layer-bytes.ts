import { algorithmOf, createDigester } from '../oci/digest.ts'
import { ArchiveError } from './archive-error.ts'
import { withoutCompression } from './decompress.ts'
import type { ImageSource, SourceBlob } from './image-source.ts'
import type { Limits } from './limits.ts'

type LayerBytesOptions = { readonly limits: Limits; readonly signal?: AbortSignal | undefined }

/**
 * The bytes of a layer, decompressed. A reader that gets to their end knows that the layer has the size and
 * the digest of its descriptor.
 */
export async function* layerBytes(
  source: ImageSource,
  blob: SourceBlob,
  { limits, signal }: LayerBytesOptions,
): AsyncGenerator<Buffer> {
  yield* withoutCompression({ bytes: verifiedBytes(source, blob, signal), size: blob.size }, limits)
}

/**
 * The bytes of a blob as they are.
 * @throws ArchiveError at their end if they are not those of the digest.
 */
export async function* verifiedBytes(
  source: ImageSource,
  blob: SourceBlob,
  signal?: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  const digester = createDigester(algorithmOf(blob.digest))
  for await (const chunk of source.read(blob, { signal })) {
    digester.update(chunk)
    yield chunk
  }
  if (digester.size !== blob.size || digester.digest() !== blob.digest)
    throw new ArchiveError('invalid', `the source sent other bytes than those of ${blob.digest}`)
}
