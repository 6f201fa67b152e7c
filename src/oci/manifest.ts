import { z } from 'zod'
import { type Digest, isDigest } from './digest.ts'
import { RegistryError } from './errors.ts'

/**
 * The longest manifest that is taken, in bytes (distribution-spec, "Pushing Manifests": at least 4
 * MiB).
 */
export const longestManifest = 4 * 1024 * 1024

export const mediaTypes = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociArtifact: 'application/vnd.oci.artifact.manifest.v1+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSignedSchema1: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
} as const

/**
 * Points at content: what it is, how long and which (image-spec, "Content Descriptors"). Size in
 * bytes.
 */
type Descriptor = {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
}

/**
 * What a manifest says of itself and of others. A view: the bytes are what is stored, sent and
 * hashed.
 */
export type Manifest = {
  readonly mediaType: string
  /**
   * Config and layers of an image, children of an index; never those that live elsewhere (`urls`).
   */
  readonly references: readonly Descriptor[]
  readonly isIndex: boolean
}

const descriptor = z.looseObject({
  mediaType: z.string().max(255).default(''),
  digest: z.string(),
  size: z.int().nonnegative(),
  urls: z.array(z.string()).nullish(),
})

/**
 * It becomes a Content-Type, and whoever can push a manifest writes it: a kind of JSON, which no
 * browser takes for a page.
 */
const mediaType = z
  .string()
  .max(255)
  .regex(/^application\/(?:[\w!#$&.+^-]+\+)?(?:json|prettyjws)$/)

/** Go writes a list that was never made as null. */
const list = z
  .array(z.unknown())
  .nullish()
  .transform((value) => value ?? undefined)

const schema = z.looseObject({
  mediaType: mediaType.optional(),
  config: z.unknown().optional(),
  layers: list,
  blobs: list,
  manifests: list,
  fsLayers: list,
  signatures: z.unknown().optional(),
})

type Document = z.infer<typeof schema>

/**
 * Reads a manifest. Its media type comes from the bytes alone, so that a digest has exactly one,
 * whoever asks and whatever an upstream's header said.
 * @throws RegistryError MANIFEST_INVALID for what is no manifest, or could be read as two kinds
 * (GHSA-77vh-xpmg-72qh).
 */
export function parseManifest(bytes: Buffer): Manifest {
  const document = parseDocument(bytes)
  const isIndex = document.manifests !== undefined
  if (isIndex && (document.layers !== undefined || document.config !== undefined)) {
    throw invalid(
      'it has both "manifests" and "layers" or "config", so clients could read it as two different things',
    )
  }
  const all = [document.config, document.layers, document.blobs, document.manifests].flat()
  return {
    mediaType: document.mediaType ?? impliedMediaType(document),
    references: all.flatMap(descriptorOf),
    isIndex,
  }
}

/**
 * A proxy passes on what it does not understand: a descriptor of another shape, or a digest of
 * another kind, is none of ours.
 */
function descriptorOf(value: unknown): Descriptor[] {
  const parsed = descriptor.safeParse(value)
  if (!parsed.success || parsed.data.urls?.length || !isDigest(parsed.data.digest)) return []
  const { mediaType, digest, size } = parsed.data
  return [{ mediaType, digest, size }]
}

/**
 * The children of an index as they were written, with fields that we do not know; none for what is
 * no index.
 */
export function childrenOf(bytes: Buffer): readonly unknown[] {
  return parseDocument(bytes).manifests ?? []
}

function parseDocument(bytes: Buffer): Document {
  let json: unknown
  try {
    json = JSON.parse(bytes.toString('utf8'))
  } catch (cause) {
    throw invalid('it is not JSON', cause)
  }
  const parsed = schema.safeParse(json)
  if (!parsed.success)
    throw invalid(
      parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '),
    )
  return parsed.data
}

/** OCI lets a manifest leave its media type to the transport; its fields tell it as well. */
function impliedMediaType(document: Document): string {
  if (document.manifests !== undefined) return mediaTypes.ociIndex
  if (document.layers !== undefined && document.config !== undefined) return mediaTypes.ociManifest
  if (document.fsLayers !== undefined) {
    return document.signatures === undefined
      ? mediaTypes.dockerSchema1
      : mediaTypes.dockerSignedSchema1
  }
  throw invalid('it names no mediaType and has the fields of none that is known')
}

function invalid(why: string, cause?: unknown): RegistryError {
  return new RegistryError('MANIFEST_INVALID', { message: `not a manifest: ${why}`, cause })
}
