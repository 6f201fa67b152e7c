import { z } from 'zod'
import { algorithmOf, createDigester, type Digest, encodedOf, isDigest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import { type Manifest, mediaTypes, parseManifest } from '../oci/manifest.ts'
import { ArchiveError } from './archive-error.ts'
import { type ArchiveFiles, missing, readDocument } from './archive-files.ts'
import { type ArchiveOptions, parse, unchanged } from './docker-archive.ts'
import type { ImageSource, SourceBlob, SourceImage } from './image-source.ts'

const maxImages = 1000
/** Levels of indexes in indexes. */
const maxDepth = 8
/** Manifests of one archive. */
const maxManifests = 10_000

/** `index.json` (image-spec, "Image Layout Specification"). */
const indexSchema = z.object({
  manifests: z
    .array(
      z.object({
        mediaType: z.string().optional(),
        digest: z.string().refine(isDigest),
        size: z.int().nonnegative(),
        annotations: z.record(z.string(), z.string()).nullish(),
      }),
    )
    .min(1)
    .max(maxImages),
})

/** A tag or a name; containerd and docker write the whole name beside the tag. */
const nameAnnotations = ['io.containerd.image.name', 'org.opencontainers.image.ref.name']

/**
 * Undefined: there is no `index.json`.
 * @throws ArchiveError; `invalid` also if a blob is missing.
 */
export async function openOciLayout(
  files: ArchiveFiles,
  { limits, signal }: Pick<ArchiveOptions, 'limits' | 'signal'>,
): Promise<ImageSource | undefined> {
  const document = await readDocument(files, 'index.json', limits)
  if (document === undefined) return undefined
  const { manifests: roots } = parse(indexSchema, document, 'index.json')
  const verified = new Map<Digest, Manifest | undefined>()

  const visit = async (blob: SourceBlob & { readonly mediaType?: string }, depth: number) => {
    if (verified.has(blob.digest)) return
    if (depth > maxDepth || verified.size > maxManifests)
      throw new ArchiveError('too-large', 'the archive has too many manifests')
    const manifest = await readManifest(blob)
    verified.set(blob.digest, manifest)
    for (const child of manifest.references) {
      if (manifest.isIndex) await visit(child, depth + 1)
      else if (!verified.has(child.digest)) {
        await verifyBlob(files, child, signal)
        verified.set(child.digest, undefined)
      }
    }
  }

  const readBytes = async (digest: Digest): Promise<Buffer> => {
    const bytes = await readDocument(files, pathOf(digest), limits)
    if (bytes === undefined) throw missing(pathOf(digest))
    return bytes
  }

  const readManifest = async ({
    mediaType,
    ...blob
  }: SourceBlob & { readonly mediaType?: string }) => {
    await verifyBlob(files, blob, signal)
    return parseOf(await readBytes(blob.digest), mediaType)
  }

  for (const { digest, size, mediaType } of roots)
    await visit({ digest, size, ...(mediaType !== undefined && { mediaType }) }, 0)
  await files.assertUnchanged()
  return {
    images: groupByDigest(roots),
    manifest: async (digest) => {
      const manifest = verified.get(digest)
      if (manifest === undefined) throw missing(pathOf(digest))
      return { digest, mediaType: manifest.mediaType, bytes: await readBytes(digest) }
    },
    read: ({ digest }, how) => unchanged(files, files.read(pathOf(digest), how)),
    close: files.close,
  }
}

function parseOf(bytes: Buffer, mediaType: string = mediaTypes.ociManifest): Manifest {
  try {
    return parseManifest(bytes, mediaType)
  } catch (error) {
    throw isRegistryError(error) ? new ArchiveError('invalid', error.message, error) : error
  }
}

function pathOf(digest: Digest): string {
  return `blobs/${algorithmOf(digest)}/${encodedOf(digest)}`
}

async function verifyBlob(
  files: ArchiveFiles,
  { digest, size }: SourceBlob,
  signal: AbortSignal | undefined,
): Promise<void> {
  const name = pathOf(digest)
  const found = await files.size(name)
  if (found === undefined) throw missing(name)
  if (found !== size)
    throw new ArchiveError('invalid', `${name} has ${found} bytes, its descriptor says ${size}`)
  const digester = createDigester(algorithmOf(digest))
  for await (const chunk of files.read(name, { signal, isTransient: true })) digester.update(chunk)
  const actual = digester.digest()
  if (actual !== digest) throw new ArchiveError('invalid', `${name} has the digest ${actual}`)
}

type Root = z.infer<typeof indexSchema>['manifests'][number]

/** docker writes one descriptor for each name of an image. */
function groupByDigest(roots: readonly Root[]): readonly SourceImage[] {
  const names = new Map<Digest, string[]>()
  for (const { digest, annotations } of roots) {
    const name = nameAnnotations.map((key) => annotations?.[key]).find((text) => text !== undefined)
    names.set(digest, [...(names.get(digest) ?? []), ...(name === undefined ? [] : [name])])
  }
  return [...names].map(([digest, all]) => ({ digest, names: [...new Set(all)] }))
}
