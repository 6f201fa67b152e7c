import { randomBytes } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import type { ImageSource, SourceBlob } from '../../src/archive/archive.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { type TarItem, tarFile } from './tar-file.ts'

export type DockerImage = {
  readonly config: Buffer
  readonly layers: readonly Buffer[]
  readonly name: string
}

export function dockerImage(
  name: string,
  layers: readonly Buffer[] = [layerOf('a'), layerOf('b')],
): DockerImage {
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => digestOf(layer)) },
    }),
  )
  return { config, layers, name }
}

/** An uncompressed layer with one file that half compresses. */
export function layerOf(name: string, size = 50_000): Buffer {
  return tarFile([{ name, content: Buffer.concat([randomBytes(size), Buffer.alloc(size)]) }])
}

/** The entries of `docker save` before version 25. */
export function dockerItems(images: readonly DockerImage[]): readonly TarItem[] {
  const items = new Map<string, TarItem>()
  const entries = images.map(({ config, layers, name }) => {
    const configName = `${hexOf(config)}.json`
    items.set(configName, { name: configName, content: config })
    const paths = layers.map((layer) => {
      const path = `${hexOf(layer)}/layer.tar`
      items.set(path, { name: path, content: layer })
      return path
    })
    return { Config: configName, RepoTags: [name], Layers: paths }
  })
  return [...items.values(), { name: 'manifest.json', content: JSON.stringify(entries) }]
}

/** The entries of an OCI layout with one image, whose layers are stored as they are. */
export function ociItems({ config, layers, name }: DockerImage): readonly TarItem[] {
  const blob = (bytes: Buffer) => ({ digest: digestOf(bytes), size: bytes.length })
  const type = 'application/vnd.oci.image'
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      config: { mediaType: `${type}.config.v1+json`, ...blob(config) },
      layers: layers.map((layer) => ({ mediaType: `${type}.layer.v1.tar`, ...blob(layer) })),
    }),
  )
  const annotations = { 'org.opencontainers.image.ref.name': name }
  const root = { mediaType: `${type}.manifest.v1+json`, ...blob(manifest), annotations }
  return [
    { name: 'oci-layout', content: '{"imageLayoutVersion":"1.0.0"}' },
    { name: 'index.json', content: JSON.stringify({ schemaVersion: 2, manifests: [root] }) },
    ...[manifest, config, ...layers].map((bytes) => ({
      name: `blobs/sha256/${hexOf(bytes)}`,
      content: bytes,
    })),
  ]
}

export function hexOf(bytes: Buffer): string {
  return digestOf(bytes).slice('sha256:'.length)
}

export async function bytesOf(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}

type Described = SourceBlob & { readonly mediaType: string }

/** The config and the layers of an image of a source. */
export async function readImage(source: ImageSource, digest: Digest) {
  const { bytes, mediaType } = await source.manifest(digest)
  const { config, layers } = JSON.parse(bytes.toString()) as {
    readonly config: Described
    readonly layers: readonly Described[]
  }
  const read = async (blob: Described) => ({
    ...blob,
    bytes: await bytesOf(source.read(blob)),
  })
  return { mediaType, config: await read(config), layers: await Promise.all(layers.map(read)) }
}

export function plainOf({ mediaType, bytes }: { mediaType: string; bytes: Buffer }): Buffer {
  return mediaType.endsWith('+gzip') ? gunzipSync(bytes) : bytes
}
