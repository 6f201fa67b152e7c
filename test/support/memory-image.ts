import { randomBytes } from 'node:crypto'
import type { ImageSource, SourceManifest } from '../../src/archive/archive.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'

/** An image of random layers in memory, which counts how its blobs are read. */
export type MemoryImage = {
  readonly source: ImageSource
  readonly image: Digest
  readonly blobs: ReadonlyMap<Digest, Buffer>
  /** Where each reading of a blob began. */
  readonly starts: (digest: Digest) => readonly number[]
}

const chunkSize = 100_001
const type = 'application/vnd.oci.image'

export function memoryImage(sizes: readonly number[]): MemoryImage {
  const layers = sizes.map((size) => randomBytes(size))
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', sizes }))
  const describe = (bytes: Buffer) => ({ digest: digestOf(bytes), size: bytes.length })
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: `${type}.manifest.v1+json`,
      config: { mediaType: `${type}.config.v1+json`, ...describe(config) },
      layers: layers.map((layer) => ({ mediaType: `${type}.layer.v1.tar`, ...describe(layer) })),
    }),
  )
  const manifest: SourceManifest = {
    digest: digestOf(bytes),
    mediaType: `${type}.manifest.v1+json`,
    bytes,
  }
  const blobs = new Map([config, ...layers].map((blob) => [digestOf(blob), blob]))
  const starts = new Map<Digest, number[]>()

  async function* read(digest: Digest, start: number): AsyncGenerator<Buffer> {
    starts.set(digest, [...(starts.get(digest) ?? []), start])
    const blob = blobs.get(digest) ?? Buffer.alloc(0)
    for (let at = start; at < blob.length; at += chunkSize) yield blob.subarray(at, at + chunkSize)
  }

  return {
    source: {
      images: [{ names: [], digest: manifest.digest }],
      manifest: async () => manifest,
      read: ({ digest }, { start = 0 } = {}) => read(digest, start),
      close: async () => {},
    },
    image: manifest.digest,
    blobs,
    starts: (digest) => starts.get(digest) ?? [],
  }
}
