import { algorithmOf, type Digest, encodedOf } from '../oci/digest.ts'
import { type Manifest, parseManifest } from '../oci/manifest.ts'
import type { ImageSource, SourceBlob, SourceImage, SourceManifest } from './image-source.ts'
import { verifiedBytes } from './layer-bytes.ts'
import { formatTarHeader, padding, tarEnd } from './tar-header.ts'

type WriteOptions = {
  /** `os/architecture[/variant]` of the image that `docker load` gets from an index. */
  readonly platform: string
  readonly signal?: AbortSignal | undefined
}

/**
 * The bytes of an archive that is an OCI layout and a docker archive in one, as `docker save` writes it
 * since version 25: docker, podman and skopeo read it. Layers stay as they are; manifests
 * keep their digests. `images` without names can be loaded by their digests.
 */
export async function* archiveBytes(
  source: ImageSource,
  images: readonly SourceImage[],
  { platform, signal }: WriteOptions,
): AsyncGenerator<Buffer> {
  const written = new Set<Digest>()
  const roots: object[] = []
  const loadable: object[] = []
  for (const { digest, names } of images) {
    const root = await source.manifest(digest)
    for (const { manifest, bytes } of await withChildren(source, root)) {
      if (!written.has(bytes.digest)) yield* entry(pathOf(bytes.digest), bytes.bytes)
      written.add(bytes.digest)
      if (manifest.isIndex) continue
      for (const blob of manifest.references) {
        if (written.has(blob.digest)) continue
        written.add(blob.digest)
        yield* blobEntry(source, blob, signal)
      }
    }
    roots.push(...rootsOf(root, names))
    const image = await imageFor(source, root, platform)
    if (image !== undefined && isRunnable(image)) loadable.push(dockerEntry(image, names))
  }
  yield* entry('oci-layout', json({ imageLayoutVersion: '1.0.0' }))
  yield* entry(
    'index.json',
    json({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: roots,
    }),
  )
  if (loadable.length > 0) yield* entry('manifest.json', json(loadable))
  yield tarEnd
}

type Parsed = { readonly manifest: Manifest; readonly bytes: SourceManifest }

/** The manifest after all that it references. */
async function withChildren(
  source: ImageSource,
  bytes: SourceManifest,
): Promise<readonly Parsed[]> {
  const manifest = parseManifest(bytes.bytes, bytes.mediaType)
  const all: Parsed[] = []
  if (manifest.isIndex)
    for (const { digest } of manifest.references)
      all.push(...(await withChildren(source, await source.manifest(digest))))
  return [...all, { manifest, bytes }]
}

/** The image of an index that is for the platform, else its first. */
async function imageFor(
  source: ImageSource,
  root: SourceManifest,
  platform: string,
): Promise<Manifest | undefined> {
  const manifest = parseManifest(root.bytes, root.mediaType)
  if (!manifest.isIndex) return manifest
  const child = chooseChild(root, platform)
  return child && imageFor(source, await source.manifest(child.digest), platform)
}

/** The child of an index for a platform, else its first one; undefined for another manifest. */
export function chooseChild(index: SourceManifest, platform: string): SourceBlob | undefined {
  const { isIndex, references } = parseManifest(index.bytes, index.mediaType)
  if (!isIndex) return undefined
  return references.find((child) => child.platform === platform) ?? references[0]
}

function rootsOf(root: SourceManifest, names: readonly string[]): readonly object[] {
  const descriptor = {
    mediaType: root.mediaType,
    digest: root.digest,
    size: root.bytes.length,
  }
  if (names.length === 0) return [descriptor]
  return names.map((name) => ({
    ...descriptor,
    annotations: {
      'io.containerd.image.name': name,
      'org.opencontainers.image.ref.name': /:([^:/]+)$/.exec(name)?.[1] ?? name,
    },
  }))
}

const configTypes = [
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
]

/** docker does not load other artifacts. */
function isRunnable({ references: [config] }: Manifest): boolean {
  return config !== undefined && configTypes.includes(config.mediaType)
}

function dockerEntry({ references }: Manifest, names: readonly string[]): object {
  const [config, ...layers] = references
  return {
    Config: config && pathOf(config.digest),
    RepoTags: names.length > 0 ? names : null,
    Layers: layers.map(({ digest }) => pathOf(digest)),
  }
}

async function* blobEntry(
  source: ImageSource,
  blob: SourceBlob,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  yield formatTarHeader({ name: pathOf(blob.digest), size: blob.size })
  yield* verifiedBytes(source, blob, signal)
  yield padding(blob.size)
}

function* entry(name: string, bytes: Buffer): Generator<Buffer> {
  yield formatTarHeader({ name, size: bytes.length })
  yield bytes
  yield padding(bytes.length)
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}

function pathOf(digest: Digest): string {
  return `blobs/${algorithmOf(digest)}/${encodedOf(digest)}`
}
