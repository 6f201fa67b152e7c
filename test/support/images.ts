import { randomBytes } from 'node:crypto'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'

export type Blob = { readonly digest: Digest; readonly bytes: Buffer }

/** A manifest, and everything that it leads to. */
export type Image = {
  readonly digest: Digest
  readonly mediaType: string
  readonly bytes: Buffer
  /** Config first, then layers; none for an index. */
  readonly blobs: readonly Blob[]
  readonly children: readonly Image[]
}

export function blobOf(bytes: Buffer, algorithm: 'sha256' | 'sha512' = 'sha256'): Blob {
  return { digest: digestOf(bytes, algorithm), bytes }
}

export function randomBlob(size: number): Blob {
  return blobOf(randomBytes(size))
}

type ImageOptions = {
  readonly layers?: readonly Blob[]
  readonly architecture?: string
  /** Fields that are put into the manifest. */
  readonly extra?: Readonly<Record<string, unknown>>
  /** Docker's media types instead of OCI's. */
  readonly docker?: boolean
}

/** An image whose layers are random bytes unless given: no runtime unpacks it. */
export function makeImage(options: ImageOptions = {}): Image {
  const { layers = [randomBlob(200_000), randomBlob(70_000)], architecture = 'amd64' } = options
  const config = blobOf(
    Buffer.from(
      JSON.stringify({ architecture, os: 'linux', rootfs: { type: 'layers', diff_ids: [] } }),
    ),
  )
  const mediaType = options.docker ? mediaTypes.dockerManifest : mediaTypes.ociManifest
  const describe = (blob: Blob, type: string) => ({
    mediaType: type,
    digest: blob.digest,
    size: blob.bytes.length,
  })
  return manifestOf(
    mediaType,
    {
      config: describe(config, 'application/vnd.oci.image.config.v1+json'),
      layers: layers.map((layer) => describe(layer, 'application/vnd.oci.image.layer.v1.tar')),
      ...options.extra,
    },
    { blobs: [config, ...layers] },
  )
}

export function makeIndex(children: readonly Image[]): Image {
  const manifests = children.map(({ mediaType, digest, bytes }, at) => ({
    mediaType,
    digest,
    size: bytes.length,
    platform: { os: 'linux', architecture: ['amd64', 'arm64', 's390x'][at] },
  }))
  return manifestOf(mediaTypes.ociIndex, { manifests }, { children })
}

export function manifestOf(
  mediaType: string,
  fields: Readonly<Record<string, unknown>>,
  { blobs = [], children = [] }: Partial<Pick<Image, 'blobs' | 'children'>> = {},
): Image {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...fields }))
  return { digest: digestOf(bytes), mediaType, bytes, blobs, children }
}

/** The image and all images below it. */
export function family(image: Image): readonly Image[] {
  return [image, ...image.children.flatMap(family)]
}
