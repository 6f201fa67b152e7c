import { isDigest } from '../../oci/digest.ts'
import { isRegistryError, RegistryError } from '../../oci/errors.ts'
import { isImageConfig } from '../../oci/image-config.ts'
import {
  childrenOf,
  type Descriptor,
  formatPlatform,
  type ManifestDetails,
  parseManifestDetails,
} from '../../oci/manifest.ts'
import { formatReference, parseReference } from '../../oci/reference.ts'
import type { Resolved } from '../../registry/registry.ts'
import type { Access } from '../access.ts'
import type { Manifest } from '../answers.ts'
import type { Handler } from '../call.ts'
import { kindOf } from '../image-kind.ts'
import { createJsonReader, isObject } from '../json-parts.ts'
import { describeChart } from './describe-chart.ts'
import { describeConfig, withoutConfig } from './describe-config.ts'
import { readBlob } from './read-blob.ts'

/** Bytes of a config that is read. */
const maxConfig = 2 * 1024 * 1024
const chartConfig = 'application/vnd.cncf.helm.config.v1+json'
const titleAnnotation = 'org.opencontainers.image.title'

type Found = {
  readonly bytes: Buffer
  readonly mediaType: string
  readonly digest: Manifest['digest']
}

/** Of a cached repository, what is missing is pulled: a manifest and a config, no layers. */
export function createGetManifest({ access }: { readonly access: Access }): Handler<'manifest'> {
  return async (call) => {
    const { name, repository } = access.resolve(call)
    const reference = parseReference(call.texts.reference)
    const found = await repository.manifest(reference, { isView: true })
    if (found === undefined)
      throw new RegistryError('MANIFEST_UNKNOWN', {
        message: `${name} has no manifest ${formatReference(reference)}`,
      })
    const details = parseManifestDetails(found.bytes, found.mediaType)
    const body = {
      name,
      ...describeManifest(found, details),
      ...(await readConfig(repository, details.config)),
    }
    const isComplete = body.config?.problem === undefined && body.chart?.problem === undefined
    return { body, isImmutable: 'digest' in reference && isComplete }
  }
}

function describeManifest(
  { bytes, digest, mediaType }: Found,
  details: ManifestDetails,
): Omit<Manifest, 'name' | 'config' | 'chart'> {
  const { artifactType, subject, references, isIndex, foreign } = details
  const read = createJsonReader()
  const document = JSON.parse(bytes.toString('utf8').replace(/^\uFEFF/, ''))
  const layers = isIndex ? [] : layersOf(document, read)
  const children = isIndex ? childrenIn(bytes, references, read) : []
  const distinct = new Map([...references, ...foreign].map((each) => [each.digest, each.size]))
  const own = isIndex ? [] : [...distinct.values()]
  return {
    digest,
    mediaType,
    size: bytes.length,
    kind: kindWithLayers({ mediaType, artifactType }, layers),
    artifactType,
    annotations: read.labels(document['annotations']),
    subject: subject && plain(subject),
    totalSize: own.reduce((sum, size) => sum + size, bytes.length),
    children,
    layers,
    truncated: read.isCut(),
  }
}

type Reader = ReturnType<typeof createJsonReader>

function layersOf(document: Readonly<Record<string, unknown>>, read: Reader): Manifest['layers'] {
  return read.list(document['layers'] ?? document['blobs']).flatMap((value) => {
    const layer = read.object(value)
    const { digest, size, urls } = layer
    if (!isDigestText(digest) || !isSize(size)) return []
    const annotations = read.labels(layer['annotations'])
    return [
      {
        digest,
        size,
        mediaType: read.text(layer['mediaType']) ?? '',
        title: annotations[titleAnnotation],
        foreign: Array.isArray(urls) && urls.length > 0,
        annotations,
      },
    ]
  })
}

/** With the annotations by which BuildKit names the image that an attestation is about. */
function childrenIn(
  bytes: Buffer,
  references: readonly Descriptor[],
  read: Reader,
): Manifest['children'] {
  const known = new Set<string>(references.map(({ digest }) => digest))
  return read.limited(childrenOf(bytes)).flatMap((value) => {
    const child = read.object(value)
    const { digest, size } = child
    if (!isDigestText(digest) || !known.has(digest) || !isSize(size)) return []
    const annotations = read.labels(child['annotations'])
    const attests =
      annotations['vnd.docker.reference.type'] === 'attestation-manifest'
        ? annotations['vnd.docker.reference.digest']
        : undefined
    return [
      {
        digest,
        size,
        mediaType: read.text(child['mediaType']) ?? '',
        platform: formatPlatform(child['platform']),
        artifactType: read.text(child['artifactType']),
        annotations,
        attests: attests !== undefined && known.has(attests) ? attests : undefined,
      },
    ]
  })
}

/** cosign's signatures have the config of an image; their layers tell. */
function kindWithLayers(
  types: { readonly mediaType: string; readonly artifactType?: string | undefined },
  layers: Manifest['layers'],
): Manifest['kind'] {
  const kind = kindOf(types)
  if (kind !== 'image' && kind !== 'artifact') return kind
  const byLayers = layers.map(({ mediaType }) => kindOf({ artifactType: mediaType }))
  return byLayers.find((each) => each !== 'artifact' && each !== 'image') ?? kind
}

/** What cannot be read is said in its place: the rest of the answer is valid. */
async function readConfig(
  repository: Resolved['repository'],
  config: Descriptor | undefined,
): Promise<Pick<Manifest, 'config' | 'chart'>> {
  if (config === undefined) return {}
  const isChart = config.mediaType === chartConfig
  if (!isChart && !isImageConfig(config.mediaType)) return { config: describeConfig(config, {}) }
  try {
    const bytes = await readBlob({ repository, digest: config.digest, limit: maxConfig })
    const document: unknown = JSON.parse(bytes.toString('utf8'))
    if (!isObject(document)) throw new SyntaxError('it is no object')
    if (isChart) return { config: describeConfig(config, {}), chart: describeChart(document) }
    return { config: describeConfig(config, document) }
  } catch (error) {
    const failed = withoutConfig(config, reasonOf(error))
    return isChart
      ? { config: failed, chart: { ...describeChart({}), problem: failed.problem } }
      : { config: failed }
  }
}

function reasonOf(error: unknown): string {
  if (isRegistryError(error)) return `cannot read the config: ${error.message}`
  if (error instanceof SyntaxError) return 'the config is not a JSON object'
  throw error
}

function plain({ digest, mediaType, size }: Descriptor) {
  return { digest, mediaType, size }
}

function isDigestText(value: unknown): value is string {
  return typeof value === 'string' && isDigest(value)
}

function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
