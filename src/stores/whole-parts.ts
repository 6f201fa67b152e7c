import type { ImageSource, SourceManifest } from '../archive/archive.ts'
import { type Digest, digestOf, isDigest } from '../oci/digest.ts'
import { childrenOf } from '../oci/manifest.ts'
import type { ContainerdImage, ImagePart } from './containerd-image.ts'
import { shortDigest } from './image-names.ts'
import { StoreError } from './store-error.ts'

export type WholeImage = {
  readonly source: ImageSource
  /** Of what is whole: the image, one of its platforms, or a new index of several. */
  readonly digest: Digest
  /** What is left out, and why; undefined if the image is whole. */
  readonly note?: string
}

/**
 * What can be pushed of an image: all of it; else the one platform that is there, with its own digest; else
 * an index of those that are there.
 * @throws StoreError `incomplete` if no platform is whole.
 */
export async function wholeParts(image: ContainerdImage): Promise<WholeImage> {
  const { source, digest, parts } = image
  const { whole, broken } = partition(image)
  if (broken.length === 0) return { source, digest }
  const [first, ...others] = whole.filter((part) => !isAttestation(part))
  if (first === undefined) throw incomplete(image)
  const left = parts.filter((part) => !whole.includes(part) && !isAttestation(part))
  const absent = left.length > 0 ? platformsOf(left) : 'the attestations of the image'
  const note = `containerd has ${platformsOf(whole)}, and not ${absent}: only what it has is pushed`
  if (others.length === 0) return { source, digest: first.digest, note }
  const index = withOnly(await source.manifest(digest), whole)
  return { source: withManifest(source, index), digest: index.digest, note }
}

export function partition({ parts }: ContainerdImage) {
  return {
    whole: parts.filter(({ missing }) => missing.length === 0),
    broken: parts.filter(({ missing }) => missing.length > 0),
  }
}

/** Such as `linux/amd64, linux/arm64`. */
export function platformsOf(parts: readonly ImagePart[]): string {
  return parts
    .filter((part) => !isAttestation(part))
    .map(({ platform }) => platform)
    .join(', ')
}

/** BuildKit's attestations are listed as images of this platform. */
function isAttestation({ platform }: ImagePart): boolean {
  return platform === 'unknown/unknown'
}

/** No part of the image is whole. */
export function incomplete({ parts, digest }: ContainerdImage): StoreError {
  const fewest = parts.toSorted((a, b) => a.missing.length - b.missing.length)[0]
  const missing = fewest?.missing ?? [digest]
  const shown = missing.slice(0, 3).map(shortDigest).join(', ')
  return new StoreError(
    'incomplete',
    `containerd has a manifest of this image, but not ${missing.length} of its blobs (${shown}${missing.length > 3 ? ', …' : ''}): ` +
      'it removes layers after it has unpacked them if discard_unpacked_layers is true in its configuration, and snapshotters that load layers lazily do not store them. Such an image cannot be read back',
  )
}

function withOnly(index: SourceManifest, parts: readonly ImagePart[]): SourceManifest {
  const document: object = JSON.parse(index.bytes.toString('utf8'))
  const kept = new Set<string>(parts.map(({ digest }) => digest))
  const manifests = childrenOf(index.bytes).filter((child) => kept.has(digestIn(child) ?? ''))
  const bytes = Buffer.from(JSON.stringify({ ...document, manifests }))
  return { digest: digestOf(bytes), mediaType: index.mediaType, bytes }
}

function digestIn(child: unknown): Digest | undefined {
  const isObject = typeof child === 'object' && child !== null && 'digest' in child
  const text = isObject ? child.digest : undefined
  return typeof text === 'string' && isDigest(text) ? text : undefined
}

function withManifest(source: ImageSource, added: SourceManifest): ImageSource {
  return {
    ...source,
    images: [{ names: [], digest: added.digest }],
    manifest: async (digest) => (digest === added.digest ? added : source.manifest(digest)),
  }
}
