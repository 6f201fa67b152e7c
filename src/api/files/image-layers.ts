import type { LayerBlob } from '../../archive/archive.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { isImageConfig } from '../../oci/image-config.ts'
import { parseManifestDetails } from '../../oci/manifest.ts'
import {
  chunksOf,
  type Inventory,
  type Repository,
  type Resolved,
} from '../../registry/registry.ts'
import { createJsonReader, isObject } from '../json-parts.ts'

/** An image whose layers, or that of the number, are on the disk. */
export type LocalImage = { readonly config: LayerBlob; readonly layers: readonly LayerBlob[] }

/**
 * The layers of an image of one platform, lowest first; with a number, only this layer is to be read. Looking
 * inside downloads none.
 * @throws RegistryError MANIFEST_UNKNOWN; UNSUPPORTED: it is no image; BLOB_UNKNOWN: a layer is not here.
 */
export async function openLocalImage(
  { name, repository }: Resolved,
  inventory: Inventory,
  digest: Digest,
  number?: number,
): Promise<LocalImage> {
  const found = await repository.manifest({ digest }, { isView: true })
  if (found === undefined)
    throw new RegistryError('MANIFEST_UNKNOWN', { message: `${name} has no manifest ${digest}` })
  const { config, isIndex } = parseManifestDetails(found.bytes, found.mediaType)
  if (isIndex || config === undefined || !isImageConfig(config.mediaType))
    throw new RegistryError('UNSUPPORTED', {
      status: 400,
      message: `${digest} is no image of one platform, so it has no files to show`,
    })
  const layers = layersIn(found.bytes)
  if (number !== undefined && number >= layers.length)
    throw new RegistryError('BLOB_UNKNOWN', { message: `the image has ${layers.length} layers` })
  const read = number === undefined ? [config, ...layers] : layers.slice(number, number + 1)
  const digests = read.map((blob) => blob.digest)
  const stored = await inventory.of(name).stored(digests)
  const missing = digests.filter((each) => !stored.has(each))
  if (missing.length > 0)
    throw new RegistryError('BLOB_UNKNOWN', {
      message:
        number === undefined
          ? `${missing.length} of ${digests.length} blobs of ${name}@${digest} are not on the disk`
          : `layer ${number} of the image is not on the disk`,
      advice: 'pull the image first',
    })
  const open = (blob: Omit<LayerBlob, 'read'>) => toLayerBlob(repository, blob)
  return { config: open({ ...config, annotations: {} }), layers: layers.map(open) }
}

function layersIn(bytes: Buffer): readonly Omit<LayerBlob, 'read'>[] {
  const read = createJsonReader()
  const document = read.object(JSON.parse(bytes.toString('utf8').replace(/^\uFEFF/, '')))
  return read.list(document['layers']).flatMap((value) => {
    const { digest, size, mediaType, annotations } = isObject(value) ? value : {}
    if (typeof digest !== 'string' || !isDigest(digest) || typeof size !== 'number') return []
    return [
      {
        digest,
        size,
        mediaType: read.text(mediaType) ?? '',
        annotations: read.labels(annotations),
      },
    ]
  })
}

function toLayerBlob(repository: Repository, blob: Omit<LayerBlob, 'read'>): LayerBlob {
  const { digest } = blob
  return {
    ...blob,
    read: async function* ({ start, end, signal }) {
      const found = await repository.blob(digest, { ranged: true })
      if (found === undefined)
        throw new RegistryError('BLOB_UNKNOWN', {
          message: `${digest} is not on the disk any more`,
        })
      const { content } = found
      for await (const batch of chunksOf(content, { start, end: Math.min(end, content.size) })) {
        signal?.throwIfAborted()
        yield* batch
      }
    },
  }
}
