import { type Digest, isDigest } from './digest.ts'
import { RegistryError } from './errors.ts'

/** In bytes (distribution-spec, "Pushing Manifests": at least 4 MiB). */
export const maxManifestSize = 4 * 1024 * 1024

export const mediaTypes = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociArtifact: 'application/vnd.oci.artifact.manifest.v1+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSignedSchema1: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
} as const

/** image-spec, "Content Descriptors". Size in bytes. */
export type Descriptor = {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  /** Of a child of an index: `OS/ARCHITECTURE` or `OS/ARCHITECTURE/VARIANT`. */
  readonly platform?: string
}

/** A view of a manifest. Its bytes are stored, sent and hashed unchanged. */
export type Manifest = {
  readonly mediaType: string
  /** Config and layers of an image, or the children of an index; without foreign layers (`urls`). */
  readonly references: readonly Descriptor[]
  readonly isIndex: boolean
}

/** What a push and the index need to know besides {@link Manifest}. */
export type ManifestDetails = Manifest & {
  readonly config?: Descriptor
  /** The manifest that this one refers to, such as the image of a signature. */
  readonly subject?: Descriptor
  /** The type of an artifact; of an image without the field, its config's media type. */
  readonly artifactType?: string
  /** String values only. */
  readonly annotations: Readonly<Record<string, string>>
  /** Layers that are distributed elsewhere (`urls`). A registry may have them, and need not. */
  readonly foreign: readonly Descriptor[]
  /** The first field that should be a descriptor and is none, such as `layers[1]`. */
  readonly invalid?: string
}

/**
 * The danger: users who can push choose the media type, which becomes a Content-Type. It must be a kind of
 * JSON, which browsers do not render.
 */
const mediaTypeGrammar = /^application\/(?:[\w!#$&.+^-]+\+)?(?:json|prettyjws)$/
const maxMediaType = 255
const platformGrammar = /^[\w.-]{1,32}(?:\/[\w.-]{1,32}){1,2}$/
/** A Content-Type that identifies a manifest, unlike `application/json`, which error pages have too. */
const specificTypeGrammar = /^application\/(?:vnd|x)\.[\w!#$&.+^-]+$/

/**
 * Maximum number of objects and arrays in a manifest. 4 MiB can contain 1.4 million empty ones, which
 * would block the event loop for half a second; the largest index has 50,000.
 */
const maxNodes = 200_000

const openBrace = 0x7b
const openBracket = 0x5b

type Document = Readonly<Record<string, unknown>>

/**
 * Parses a manifest. The media type comes from the bytes, so that a digest has exactly one;
 * `contentType` applies only if the bytes do not determine it. Without a zod schema, because validating
 * 43,500 children takes ten times as long as parsing them.
 * @throws RegistryError MANIFEST_INVALID if the bytes are not a manifest, or could be parsed as two kinds
 * (GHSA-77vh-xpmg-72qh).
 */
export function parseManifest(bytes: Buffer, contentType?: string): Manifest {
  return readManifest(parseDocument(bytes), contentType)
}

/**
 * Parses a manifest with its details.
 * @throws RegistryError MANIFEST_INVALID as `parseManifest`, and for an invalid `subject`.
 */
export function parseManifestDetails(bytes: Buffer, contentType?: string): ManifestDetails {
  const document = parseDocument(bytes)
  const config = descriptorOf(document['config'])
  const subject = subjectIn(document)
  const artifactType = artifactTypeIn(document) ?? config?.mediaType
  const invalid = invalidDescriptorIn(document)
  return {
    ...readManifest(document, contentType),
    ...(config !== undefined && { config }),
    ...(subject !== undefined && { subject }),
    ...(artifactType !== undefined && { artifactType }),
    annotations: annotationsIn(document),
    foreign: listIn(document, 'layers').filter(isForeign).map(readDescriptor).filter(isDescriptor),
    ...(invalid !== undefined && { invalid }),
  }
}

function readManifest(document: Document, contentType: string | undefined): Manifest {
  const manifests = listIn(document, 'manifests')
  const layers = listIn(document, 'layers')
  const hasConfig = (document['config'] ?? undefined) !== undefined
  if (manifests.length > 0 && (layers.length > 0 || hasConfig)) {
    throw invalid(
      'it has both "manifests" and "layers" or "config", so that clients could interpret it differently',
    )
  }
  const mediaType =
    mediaTypeIn(document) ?? impliedMediaType(document) ?? fromContentType(contentType)
  if (mediaType === undefined) throw invalid('it has no mediaType, and its fields do not imply one')
  const all = [[document['config']], layers, listIn(document, 'blobs'), manifests].flat()
  const isIndex =
    manifests.length > 0 || mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerList
  return { mediaType, references: all.map(descriptorOf).filter(isDescriptor), isIndex }
}

/** The children of an index, unchanged and with unknown fields; empty for other manifests. */
export function childrenOf(bytes: Buffer): readonly unknown[] {
  return listIn(parseDocument(bytes), 'manifests')
}

/** Also undefined for foreign layers. */
function descriptorOf(value: unknown): Descriptor | undefined {
  return isForeign(value) ? undefined : readDescriptor(value)
}

function isForeign(value: unknown): boolean {
  return isObject(value) && Array.isArray(value['urls']) && value['urls'].length > 0
}

/** Undefined for invalid descriptors and unknown digest algorithms, which a proxy ignores. */
function readDescriptor(value: unknown): Descriptor | undefined {
  if (!isObject(value)) return undefined
  const { mediaType = '', digest, size } = value
  if (typeof digest !== 'string' || !isDigest(digest)) return undefined
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined
  if (typeof mediaType !== 'string' || mediaType.length > maxMediaType) return undefined
  const platform = formatPlatform(value['platform'])
  return { mediaType, digest, size, ...(platform !== undefined && { platform }) }
}

/** Such as `linux/arm64/v8`; undefined if there is none. */
export function formatPlatform(value: unknown): string | undefined {
  if (!isObject(value)) return undefined
  const { os, architecture, variant } = value
  if (typeof os !== 'string' || typeof architecture !== 'string') return undefined
  const parts = typeof variant === 'string' && variant !== '' ? [variant] : []
  const platform = [os, architecture, ...parts].join('/')
  return platformGrammar.test(platform) ? platform : undefined
}

function invalidDescriptorIn(document: Document): string | undefined {
  const config = document['config'] ?? undefined
  if (config !== undefined && readDescriptor(config) === undefined) return 'config'
  for (const field of ['layers', 'blobs', 'manifests']) {
    const at = listIn(document, field).findIndex((value) => readDescriptor(value) === undefined)
    if (at !== -1) return `${field}[${at}]`
  }
  return undefined
}

function subjectIn(document: Document): Descriptor | undefined {
  const value = document['subject'] ?? undefined
  if (value === undefined) return undefined
  const subject = readDescriptor(value)
  if (subject === undefined) throw invalid('subject: expected a descriptor of a manifest')
  return subject
}

function artifactTypeIn({ artifactType }: Document): string | undefined {
  return typeof artifactType === 'string' && artifactType !== '' ? artifactType : undefined
}

function annotationsIn({ annotations }: Document): Readonly<Record<string, string>> {
  if (!isObject(annotations)) return {}
  return Object.fromEntries(
    Object.entries(annotations).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    ),
  )
}

function isDescriptor(value: Descriptor | undefined): value is Descriptor {
  return value !== undefined
}

function parseDocument(bytes: Buffer): Document {
  if (countNodes(bytes) > maxNodes) throw invalid(`it has more than ${maxNodes} objects and arrays`)
  let json: unknown
  try {
    json = JSON.parse(withoutByteOrderMark(bytes).toString('utf8'))
  } catch (cause) {
    throw invalid('it is not JSON', cause)
  }
  if (!isObject(json)) throw invalid('it is not a JSON object')
  return json
}

function countNodes(bytes: Buffer): number {
  let nodes = 0
  // By index: an iterator over 4 MiB takes 100 ms.
  for (let at = 0; at < bytes.length; at += 1)
    if (bytes[at] === openBrace || bytes[at] === openBracket) nodes += 1
  return nodes
}

/** Some editors write one. The digest covers it, but it is not part of JSON (RFC 8259). */
function withoutByteOrderMark(bytes: Buffer): Buffer {
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  return hasMark ? bytes.subarray(3) : bytes
}

/** Go encodes a nil slice as null. */
function listIn(document: Document, field: string): readonly unknown[] {
  const value = document[field] ?? []
  if (!Array.isArray(value)) throw invalid(`${field}: expected a list`)
  return value
}

/** Go encodes an unset string as an empty one. */
function mediaTypeIn(document: Document): string | undefined {
  const value = document['mediaType'] ?? ''
  if (value === '') return undefined
  if (typeof value !== 'string' || value.length > maxMediaType || !mediaTypeGrammar.test(value))
    throw invalid('mediaType: expected a type such as application/vnd.oci.image.manifest.v1+json')
  return value
}

/** OCI makes the mediaType field optional; the other fields imply it. */
function impliedMediaType(document: Document): string | undefined {
  const { config, manifests, layers, fsLayers } = document
  const hasLayers = Array.isArray(layers) && layers.length > 0
  const isEmpty = (config ?? undefined) === undefined && !hasLayers
  if (Array.isArray(manifests) && isEmpty) return mediaTypes.ociIndex
  if (isObject(config) && (Array.isArray(layers) || descriptorOf(config) !== undefined))
    return mediaTypes.ociManifest
  if (!Array.isArray(fsLayers)) return undefined
  return document['signatures'] === undefined
    ? mediaTypes.dockerSchema1
    : mediaTypes.dockerSignedSchema1
}

function fromContentType(contentType = ''): string | undefined {
  const [type = ''] = contentType.split(';')
  const bare = type.trim().toLowerCase()
  const isSpecific = bare.length <= maxMediaType && specificTypeGrammar.test(bare)
  return isSpecific && mediaTypeGrammar.test(bare) ? bare : undefined
}

function isObject(value: unknown): value is Document {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(why: string, cause?: unknown): RegistryError {
  return new RegistryError('MANIFEST_INVALID', { message: `invalid manifest: ${why}`, cause })
}
