import { LRUCache } from 'lru-cache'
import { z } from 'zod'
import type { ImageSource, SourceManifest } from '../archive/archive.ts'
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import { isImageConfig } from '../oci/image-config.ts'
import {
  type Descriptor,
  formatPlatform,
  type ManifestDetails,
  maxManifestSize,
  parseManifestDetails,
} from '../oci/manifest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Remote } from '../remote/remote.ts'
import { openRegistryImage } from './registry-source.ts'

/** What a registry has under one digest. */
export type ImageDetails = {
  readonly digest: Digest
  readonly mediaType: string
  /** The original bytes of the manifest or index. */
  readonly bytes: Buffer
  readonly artifactType?: string
  readonly annotations: Readonly<Record<string, string>>
  /** Bytes of all configs and layers, each once. */
  readonly size: number
  /** The time of the newest image, as its config says. */
  readonly created?: string
  /** The image itself; of an index, its images, without those that the registry lacks. */
  readonly images: readonly PlatformImage[]
  /** Children of an index that the registry does not have. */
  readonly missing: readonly Digest[]
}

/** One image, for one platform. */
export type PlatformImage = {
  readonly digest: Digest
  readonly mediaType: string
  /** Undefined for artifacts. `unknown/unknown`: what a builder says about another image. */
  readonly platform?: string
  readonly created?: string
  /** The config, if there is one, and the layers. */
  readonly blobs: readonly Descriptor[]
  readonly layers: readonly (Descriptor & {
    /** The name of a file that is pulled. */
    readonly title?: string
  })[]
  readonly annotations: Readonly<Record<string, string>>
  /** The config's document; undefined for artifacts. */
  readonly config?: ImageConfig
}

/** image-spec, "Image Configuration": a field of another type counts as missing. */
const configSchema = z.looseObject({
  created: z.string().optional().catch(undefined),
  author: z.string().optional().catch(undefined),
  config: z
    .looseObject({
      User: z.string().nullish().catch(undefined),
      Env: z.array(z.string()).nullish().catch(undefined),
      Entrypoint: z.array(z.string()).nullish().catch(undefined),
      Cmd: z.array(z.string()).nullish().catch(undefined),
      WorkingDir: z.string().nullish().catch(undefined),
      Labels: z.record(z.string(), z.string()).nullish().catch(undefined),
      ExposedPorts: z.record(z.string(), z.unknown()).nullish().catch(undefined),
      Volumes: z.record(z.string(), z.unknown()).nullish().catch(undefined),
      StopSignal: z.string().nullish().catch(undefined),
    })
    .nullish()
    .catch(undefined),
  history: z
    .array(
      z.looseObject({
        created_by: z.string().optional().catch(undefined),
        empty_layer: z.boolean().optional().catch(undefined),
      }),
    )
    .nullish()
    .catch(undefined),
})

type ImageConfig = z.infer<typeof configSchema>

const createdAnnotation = 'org.opencontainers.image.created'
const titleAnnotation = 'org.opencontainers.image.title'
/** Digests that are remembered: tags share images, and images layers. */
const maxKnown = 10_000

/** Reads the images of one repository, each digest once. */
export interface ImageDetailsReader {
  /** @throws RegistryError MANIFEST_UNKNOWN; others as Remote does. */
  read(digest: Digest): Promise<ImageDetails>
}

export function createImageDetails({
  remote,
  name,
}: {
  readonly remote: Remote
  readonly name: RepositoryName
}): ImageDetailsReader {
  const known = new LRUCache<Digest, ImageDetails>({
    max: maxKnown,
    fetchMethod: async (digest) => {
      const source = await openRegistryImage({ remote, name, reference: { digest } })
      const { bytes, mediaType } = await source.manifest(digest)
      const manifest = parseManifestDetails(bytes, mediaType)
      const { artifactType, annotations } = manifest
      const found = manifest.isIndex
        ? await childrenOf(manifest)
        : { images: [await imageOf(source, await source.manifest(digest), manifest)], missing: [] }
      return {
        digest,
        mediaType: manifest.mediaType,
        bytes,
        ...(artifactType !== undefined && { artifactType }),
        annotations,
        ...found,
        ...totalOf(found.images),
      }
    },
  })

  const read = async (digest: Digest): Promise<ImageDetails> => {
    const found = await known.fetch(digest)
    if (found === undefined) throw new Error(`${digest} was not read`)
    return found
  }

  const childrenOf = async ({ references }: ManifestDetails) => {
    const missing: Digest[] = []
    const found = await Promise.all(
      references.map(async ({ digest, platform }) => {
        const child = await read(digest).catch((error: unknown) => {
          if (!isRegistryError(error, 'MANIFEST_UNKNOWN')) throw error
          missing.push(digest)
        })
        const images = child?.images ?? []
        return images.map((image) => ({ ...image, ...(platform !== undefined && { platform }) }))
      }),
    )
    return { images: found.flat(), missing }
  }
  return { read }
}

async function imageOf(
  source: ImageSource,
  { digest, bytes }: SourceManifest,
  { mediaType, config, references, annotations }: ManifestDetails,
): Promise<PlatformImage> {
  const hasConfig = config !== undefined && isImageConfig(config.mediaType)
  const document = hasConfig ? await readConfig(source, config) : undefined
  const platform = formatPlatform(document)
  const created = document?.created ?? annotations[createdAnnotation]
  return {
    digest,
    mediaType,
    ...(platform !== undefined && { platform }),
    ...(created !== undefined && { created }),
    blobs: references,
    layers: layersOf(bytes, config === undefined ? references : references.slice(1)),
    annotations,
    ...(document !== undefined && { config: document }),
  }
}

const titlesSchema = z.object({
  layers: z
    .array(
      z.object({ digest: z.string(), annotations: z.record(z.string(), z.string()).nullish() }),
    )
    .catch([]),
})

function layersOf(bytes: Buffer, layers: readonly Descriptor[]): PlatformImage['layers'] {
  const { data } = titlesSchema.safeParse(JSON.parse(bytes.toString('utf8')))
  const titles = new Map(
    data?.layers.map(({ digest, annotations }) => [digest, annotations?.[titleAnnotation]]),
  )
  return layers.map((layer) => {
    const title = titles.get(layer.digest)
    return { ...layer, ...(title !== undefined && { title }) }
  })
}

/** Undefined for a config that is too large or no JSON object: the image can still be listed. */
async function readConfig(
  source: ImageSource,
  config: Descriptor,
): Promise<ImageConfig | undefined> {
  if (config.size > maxManifestSize) return undefined
  const chunks: Buffer[] = []
  for await (const chunk of source.read(config)) chunks.push(chunk)
  const bytes = Buffer.concat(chunks)
  if (digestOf(bytes, algorithmOf(config.digest)) !== config.digest)
    throw new RegistryError('DIGEST_INVALID', {
      message: `the config ${config.digest} has another content`,
      status: 502,
    })
  try {
    return configSchema.parse(JSON.parse(bytes.toString('utf8')))
  } catch {
    return undefined
  }
}

function totalOf(images: readonly PlatformImage[]): Pick<ImageDetails, 'size' | 'created'> {
  const blobs = new Map(images.flatMap(({ blobs: own }) => own).map((blob) => [blob.digest, blob]))
  const size = [...blobs.values()].reduce((sum, blob) => sum + blob.size, 0)
  const created = images
    .map((image) => image.created ?? '')
    .filter((text) => !Number.isNaN(Date.parse(text)))
    .toSorted((a, b) => Date.parse(a) - Date.parse(b))
    .at(-1)
  return { size, ...(created !== undefined && { created }) }
}

/** Whether an index has it beside its images: an attestation, not something that runs. */
export function isAttestation({ platform }: PlatformImage): boolean {
  return platform === 'unknown/unknown'
}
