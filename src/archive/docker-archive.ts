import { z } from 'zod'
import { digestOf, isDigest, parseDigest } from '../oci/digest.ts'
import { mediaTypes } from '../oci/manifest.ts'
import { ArchiveError } from './archive-error.ts'
import { type ArchiveFiles, missing, readDocument } from './archive-files.ts'
import { oneChunk } from './bytes.ts'
import type { Copies } from './copies.ts'
import type { ImageSource, ReadOptions, SourceImage, SourceManifest } from './image-source.ts'
import { assertNamedDigest, type KnownLayers, type LayerCompression, openLayer } from './layer.ts'
import type { Limits } from './limits.ts'
import { lastAfter } from './verified.ts'

export type ArchiveOptions = {
  readonly limits: Limits
  readonly compression: LayerCompression
  readonly known?: KnownLayers | undefined
  readonly copies: Copies
  readonly signal?: AbortSignal | undefined
}

const maxLayers = 1000
const maxImages = 1000

/** `manifest.json` of `docker save` (moby, image/tarexport). Go encodes a nil slice as null. */
const entriesSchema = z
  .array(
    z.object({
      Config: z.string(),
      RepoTags: z.array(z.string()).nullish(),
      Layers: z.array(z.string()).max(maxLayers).nullish(),
    }),
  )
  .min(1)
  .max(maxImages)

const configSchema = z.object({
  rootfs: z.object({ diff_ids: z.array(z.string().refine(isDigest)).nullish() }),
})

type Entry = z.infer<typeof entriesSchema>[number]

/** The bytes of one config or layer, by digest. */
type Blob = { read(options?: ReadOptions): AsyncIterable<Buffer> }

/** Undefined: there is no `manifest.json`. */
export async function openDockerArchive(
  files: ArchiveFiles,
  options: ArchiveOptions,
): Promise<ImageSource | undefined> {
  const document = await readDocument(files, 'manifest.json', options.limits)
  if (document === undefined) return undefined
  const entries = parse(entriesSchema, document, 'manifest.json')
  const blobs = new Map<string, Blob>()
  const manifests = new Map<string, SourceManifest>()
  const images: SourceImage[] = []
  for (const entry of entries) {
    const manifest = await toManifest(entry, { files, blobs, options })
    manifests.set(manifest.digest, manifest)
    images.push({ names: entry.RepoTags ?? [], digest: manifest.digest })
  }
  await files.assertUnchanged()
  return {
    images,
    manifest: async (digest) => {
      const found = manifests.get(digest)
      if (found === undefined) throw missing(digest)
      return found
    },
    read: ({ digest }, how) => {
      const blob = blobs.get(digest)
      if (blob === undefined) throw missing(digest)
      return lastAfter(files.assertUnchanged, blob.read(how))
    },
    close: files.close,
  }
}

type Context = {
  readonly files: ArchiveFiles
  readonly blobs: Map<string, Blob>
  readonly options: ArchiveOptions
}

/**
 * The image as OCI manifest. The config keeps its bytes, and so the image keeps its ID.
 * @throws ArchiveError if a layer or the config has other bytes than its digest says.
 */
async function toManifest(
  entry: Entry,
  { files, blobs, options }: Context,
): Promise<SourceManifest> {
  const bytes = await readDocument(files, entry.Config, options.limits)
  if (bytes === undefined) throw missing(entry.Config)
  assertNamedDigest(entry.Config, bytes)
  const { rootfs } = parse(configSchema, bytes, entry.Config)
  const names = entry.Layers ?? []
  const diffIds = rootfs.diff_ids ?? []
  if (names.length !== diffIds.length)
    throw new ArchiveError(
      'invalid',
      `manifest.json lists ${names.length} layers, and ${entry.Config} lists ${diffIds.length}`,
    )
  const config = { digest: digestOf(bytes), size: bytes.length }
  blobs.set(config.digest, { read: ({ start = 0 } = {}) => oneChunk(bytes.subarray(start)) })
  const layers = []
  for (const [at, name] of names.entries()) {
    const layer = await openLayer({
      files,
      name,
      diffId: parseDigest(diffIds[at] ?? ''),
      ...options,
    })
    blobs.set(layer.digest, layer)
    layers.push({ mediaType: layer.mediaType, digest: layer.digest, size: layer.size })
  }
  return manifestOf({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers,
  })
}

export function manifestOf(
  document: Readonly<{ mediaType: string }> & Readonly<Record<string, unknown>>,
): SourceManifest {
  const bytes = Buffer.from(JSON.stringify(document))
  return { digest: digestOf(bytes), mediaType: document.mediaType, bytes }
}

/** Parses JSON of an archive. The message says where it is wrong, and shows nothing of it. */
export function parse<Parsed>(schema: z.ZodType<Parsed>, bytes: Buffer, name: string): Parsed {
  let json: unknown
  try {
    json = JSON.parse(bytes.toString('utf8'))
  } catch (cause) {
    throw new ArchiveError('invalid', `${name} is not JSON`, cause)
  }
  const { data, error } = schema.safeParse(json)
  if (error === undefined) return data
  const at = error.issues[0]?.path.join('.')
  throw new ArchiveError('invalid', `${name} is invalid${at ? ` at ${at}` : ''}`)
}
