import { basename } from 'node:path'
import { createDigester, type Digest, digestOf } from '../oci/digest.ts'
import { mediaTypes } from '../oci/manifest.ts'
import { missing } from './archive-files.ts'
import { oneChunk, skipBytes } from './bytes.ts'
import { manifestOf } from './docker-archive.ts'
import type { ImageSource, ReadOptions, SourceBlob, SourceManifest } from './image-source.ts'
import { openStableFile, type StableFile } from './stable-file.ts'
import { formatTarHeader, padding, tarEnd } from './tar-header.ts'

/** The file name of a layer that holds one file (image-spec, "Pre-Defined Annotation Keys"). */
export const titleAnnotation = 'org.opencontainers.image.title'

/**
 * containerd unpacks an image only on a node whose platform its config names, so there is one config for
 * each platform. They share the layer.
 */
const platforms = [
  { os: 'linux', architecture: 'amd64' },
  { os: 'linux', architecture: 'arm64' },
] as const

export type FileImageOptions = {
  /** Default: the name of the file. */
  readonly title?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * An image of one layer with one file, which pods mount as an image volume. Equal files with equal titles
 * give equal images.
 */
export async function fileAsImage(
  path: string,
  { title = basename(path), signal }: FileImageOptions = {},
): Promise<ImageSource> {
  const file = await openStableFile(path)
  try {
    return await imageOf(file, title, signal)
  } catch (error) {
    await file.close()
    throw error
  }
}

async function imageOf(
  file: StableFile,
  title: string,
  signal: AbortSignal | undefined,
): Promise<ImageSource> {
  const read = (options: ReadOptions) =>
    skipBytes(layerBytes(file, title, options), options.start ?? 0)
  const digester = createDigester('sha256')
  for await (const chunk of read({ signal })) digester.update(chunk)
  const layer = { digest: digester.digest(), size: digester.size }
  const images = platforms.map((platform) => imageFor(platform, { layer, title }))
  const index = manifestOf({
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: images.map(({ platform, manifest }) => ({
      mediaType: manifest.mediaType,
      digest: manifest.digest,
      size: manifest.bytes.length,
      platform,
    })),
    annotations: { [titleAnnotation]: title },
  })
  const manifests = [index, ...images.map(({ manifest }) => manifest)]
  return {
    images: [{ names: [], digest: index.digest }],
    manifest: async (digest) => find(manifests, digest),
    read: ({ digest }, options = {}) => {
      if (digest === layer.digest) return read(options)
      const config = images.find((image) => digestOf(image.config) === digest)
      if (config === undefined) throw missing(digest)
      return oneChunk(config.config.subarray(options.start ?? 0))
    },
    close: file.close,
  }
}

type Platform = (typeof platforms)[number]

function imageFor(
  platform: Platform,
  { layer, title }: { readonly layer: SourceBlob; readonly title: string },
): { readonly platform: Platform; readonly config: Buffer; readonly manifest: SourceManifest } {
  const config = Buffer.from(
    JSON.stringify({
      ...platform,
      config: {},
      rootfs: { type: 'layers', diff_ids: [layer.digest] },
      history: [{ created: '1970-01-01T00:00:00Z', created_by: `file ${title}` }],
    }),
  )
  const manifest = manifestOf({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: digestOf(config),
      size: config.length,
    },
    layers: [
      {
        mediaType: 'application/vnd.oci.image.layer.v1.tar',
        ...layer,
        annotations: { [titleAnnotation]: title },
      },
    ],
    annotations: { [titleAnnotation]: title },
  })
  return { platform, config, manifest }
}

async function* layerBytes(
  file: StableFile,
  title: string,
  { signal }: ReadOptions,
): AsyncGenerator<Buffer> {
  const { size } = file
  yield formatTarHeader({ name: title, size })
  yield* file.chunks({ start: 0, end: size, signal })
  await file.assertUnchanged()
  yield Buffer.concat([padding(size), tarEnd])
}

function find(manifests: readonly SourceManifest[], digest: Digest): SourceManifest {
  const found = manifests.find((manifest) => manifest.digest === digest)
  if (found === undefined) throw missing(digest)
  return found
}
