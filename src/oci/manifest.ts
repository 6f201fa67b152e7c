import { type Digest, isDigest } from './digest.ts'
import { RegistryError } from './errors.ts'

/**
 * The longest manifest that is taken, in bytes (distribution-spec, "Pushing Manifests": at least 4
 * MiB).
 */
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

/**
 * The media type becomes a Content-Type, and whoever can push a manifest writes it: a kind of JSON,
 * which no browser takes for a page.
 */
const mediaTypeGrammar = /^application\/(?:[\w!#$&.+^-]+\+)?(?:json|prettyjws)$/
const maxMediaType = 255
/** A Content-Type that says what a manifest is: `application/json` is that of any error page. */
const specificTypeGrammar = /^application\/(?:vnd|x)\.[\w!#$&.+^-]+$/

/**
 * Objects and arrays in one manifest. 4 MiB hold 1.4 million empty ones, which would hold the event
 * loop for half a second; an index of the longest kind has 50,000.
 */
const maxNodes = 200_000

const openBrace = 0x7b
const openBracket = 0x5b

type Document = Readonly<Record<string, unknown>>

/**
 * Reads a manifest. Its media type comes from the bytes, so that a digest has exactly one, whoever
 * asks and whatever an upstream's header said; `contentType` decides only where they name none.
 * Read by hand and not by a schema: validating 43,500 children by one takes ten times as long as
 * parsing them.
 * @throws RegistryError MANIFEST_INVALID for what is no manifest, or could be read as two kinds
 * (GHSA-77vh-xpmg-72qh).
 */
export function parseManifest(bytes: Buffer, contentType?: string): Manifest {
  const document = parseDocument(bytes)
  const manifests = listIn(document, 'manifests')
  const layers = listIn(document, 'layers')
  const hasConfig = (document['config'] ?? undefined) !== undefined
  if (manifests.length > 0 && (layers.length > 0 || hasConfig)) {
    throw invalid(
      'it has both "manifests" and "layers" or "config", so clients could read it as two different things',
    )
  }
  const mediaType =
    mediaTypeIn(document) ?? impliedMediaType(document) ?? fromContentType(contentType)
  if (mediaType === undefined)
    throw invalid('it names no mediaType and has the fields of none that is known')
  const all = [[document['config']], layers, listIn(document, 'blobs'), manifests].flat()
  const isIndex =
    manifests.length > 0 || mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerList
  return { mediaType, references: all.map(descriptorOf).filter(isDescriptor), isIndex }
}

/**
 * The children of an index as they were written, with fields that we do not know; none for what is
 * no index.
 */
export function childrenOf(bytes: Buffer): readonly unknown[] {
  return listIn(parseDocument(bytes), 'manifests')
}

/**
 * A proxy passes on what it does not understand: a descriptor of another shape, or a digest of
 * another kind, is none of ours.
 */
function descriptorOf(value: unknown): Descriptor | undefined {
  if (!isObject(value)) return undefined
  const { mediaType = '', digest, size, urls } = value
  if (typeof digest !== 'string' || !isDigest(digest)) return undefined
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined
  if (typeof mediaType !== 'string' || mediaType.length > maxMediaType) return undefined
  return Array.isArray(urls) && urls.length > 0 ? undefined : { mediaType, digest, size }
}

function isDescriptor(value: Descriptor | undefined): value is Descriptor {
  return value !== undefined
}

function parseDocument(bytes: Buffer): Document {
  if (countNodes(bytes) > maxNodes)
    throw invalid(`it has more than ${maxNodes} objects and arrays in it`)
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

/** Some editors write one; it is part of what the digest covers, and no part of JSON (RFC 8259). */
function withoutByteOrderMark(bytes: Buffer): Buffer {
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  return hasMark ? bytes.subarray(3) : bytes
}

/** Go writes a list that was never made as null. */
function listIn(document: Document, field: string): readonly unknown[] {
  const value = document[field] ?? []
  if (!Array.isArray(value)) throw invalid(`${field}: expected a list`)
  return value
}

/** Go writes a text that was never set as an empty one. */
function mediaTypeIn(document: Document): string | undefined {
  const value = document['mediaType'] ?? ''
  if (value === '') return undefined
  if (typeof value !== 'string' || value.length > maxMediaType || !mediaTypeGrammar.test(value))
    throw invalid('mediaType: expected a type such as application/vnd.oci.image.manifest.v1+json')
  return value
}

/** OCI lets a manifest leave its media type to the transport; its fields tell it as well. */
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
  return new RegistryError('MANIFEST_INVALID', { message: `not a manifest: ${why}`, cause })
}
