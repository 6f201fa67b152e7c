import { algorithmOf, type Digest, encodedOf } from '../oci/digest.ts'
import { isImageConfig } from '../oci/image-config.ts'
import { type Manifest, mediaTypes, parseManifest } from '../oci/manifest.ts'
import { isForPlatform } from '../oci/platform.ts'
import { ArchiveError } from './archive-error.ts'
import type { ImageSource, SourceBlob, SourceImage, SourceManifest } from './image-source.ts'
import { verifiedBytes } from './layer-bytes.ts'
import { formatTarHeader, padding, tarEnd } from './tar-header.ts'

/** `both`: an OCI layout and a docker archive in one, as `docker save` writes it since version 25. */
export type ArchiveFormat = 'docker' | 'oci' | 'both'

type WriteOptions = {
  /** `os/architecture[/variant]` of the image that `docker load` gets from an index. */
  readonly platform: string
  /** Default: `both`. */
  readonly format?: ArchiveFormat | undefined
  readonly signal?: AbortSignal | undefined
}

/** One file of an archive or layout. */
type ArchiveEntry = {
  readonly name: string
  /** Bytes. */
  readonly size: number
  readonly chunks: AsyncIterable<Buffer> | Iterable<Buffer>
}

/**
 * The bytes of an archive that docker, podman and skopeo read. Layers stay as they are; manifests keep
 * their digests. `images` without names can be loaded by their digests.
 */
export async function* archiveBytes(
  source: ImageSource,
  images: readonly SourceImage[],
  options: WriteOptions,
): AsyncGenerator<Buffer> {
  for await (const { name, size, chunks } of archiveEntries(source, images, options)) {
    yield formatTarHeader({ name, size })
    yield* chunks
    yield padding(size)
  }
  yield tarEnd
}

/**
 * The files of an archive or layout; each is read before the next one.
 * @throws ArchiveError `not-an-image` if the format is docker's, and an image is another kind of artifact.
 */
export async function* archiveEntries(
  source: ImageSource,
  images: readonly SourceImage[],
  { platform, format = 'both', signal }: WriteOptions,
): AsyncGenerator<ArchiveEntry> {
  const written = new Set<Digest>()
  const roots: object[] = []
  const loadable: object[] = []
  for (const { digest, names } of images) {
    const root = await source.manifest(digest)
    for (const { manifest, bytes } of await withChildren(source, root)) {
      const isNew = !written.has(bytes.digest)
      if (isNew && format !== 'docker') yield entry(pathOf(bytes.digest), bytes.bytes)
      written.add(bytes.digest)
      if (manifest.isIndex) continue
      for (const blob of manifest.references) {
        if (written.has(blob.digest)) continue
        written.add(blob.digest)
        yield {
          name: pathOf(blob.digest),
          size: blob.size,
          chunks: verifiedBytes(source, blob, signal),
        }
      }
    }
    roots.push(...rootsOf(root, names))
    const image = await imageFor(source, root, platform)
    if (image !== undefined && isRunnable(image)) loadable.push(dockerEntry(image, names))
    else if (format === 'docker')
      throw new ArchiveError('not-an-image', 'it is no image that docker can load')
  }
  if (format !== 'docker') {
    yield entry('oci-layout', json({ imageLayoutVersion: '1.0.0' }))
    yield entry('index.json', json(indexOf(roots)))
  }
  if (format !== 'oci' && loadable.length > 0) yield entry('manifest.json', json(loadable))
}

function indexOf(manifests: readonly object[]): object {
  return { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }
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

/** The child of an index for a platform, else its first image; undefined for another manifest. */
export function chooseChild(index: SourceManifest, platform: string): SourceBlob | undefined {
  const { isIndex, references } = parseManifest(index.bytes, index.mediaType)
  if (!isIndex) return undefined
  return (
    references.find((child) => child.platform === platform) ??
    references.find((child) => isForPlatform(child.platform, platform)) ??
    references.find((child) => child.platform !== 'unknown/unknown') ??
    references[0]
  )
}

/** The platforms of an index, without those of attestations; undefined for another manifest. */
export function platformsOf(index: SourceManifest): readonly string[] | undefined {
  const { isIndex, references } = parseManifest(index.bytes, index.mediaType)
  if (!isIndex) return undefined
  return references.flatMap(({ platform }) =>
    platform === undefined || platform === 'unknown/unknown' ? [] : [platform],
  )
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

/** docker does not load other artifacts. */
function isRunnable({ references: [config] }: Manifest): boolean {
  return config !== undefined && isImageConfig(config.mediaType)
}

function dockerEntry({ references }: Manifest, names: readonly string[]): object {
  const [config, ...layers] = references
  return {
    Config: config && pathOf(config.digest),
    RepoTags: names.length > 0 ? names : null,
    Layers: layers.map(({ digest }) => pathOf(digest)),
  }
}

function entry(name: string, bytes: Buffer): ArchiveEntry {
  return { name, size: bytes.length, chunks: [bytes] }
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}

function pathOf(digest: Digest): string {
  return `blobs/${algorithmOf(digest)}/${encodedOf(digest)}`
}
