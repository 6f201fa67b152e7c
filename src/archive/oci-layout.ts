import { z } from 'zod'
import { algorithmOf, type Digest, digestOf, encodedOf, isDigest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import { type Manifest, mediaTypes, parseManifest } from '../oci/manifest.ts'
import { ArchiveError } from './archive-error.ts'
import { type ArchiveFiles, missing, readDocument } from './archive-files.ts'
import { type ArchiveOptions, parse } from './docker-archive.ts'
import type { ImageSource, SourceBlob, SourceImage } from './image-source.ts'
import { otherDigest, verified } from './verified.ts'

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
 * Undefined: there is no `index.json`. Manifests are verified now, other blobs while they are read: now they have
 * the right size.
 * @throws ArchiveError `missing` if a blob is missing.
 */
export async function openOciLayout(
  files: ArchiveFiles,
  { limits }: Pick<ArchiveOptions, 'limits'>,
): Promise<ImageSource | undefined> {
  const document = await readDocument(files, 'index.json', limits)
  if (document === undefined) return undefined
  const { manifests: roots } = parse(indexSchema, document, 'index.json')
  const found = new Map<Digest, Manifest | undefined>()

  const visit = async (blob: SourceBlob & { readonly mediaType?: string }, depth: number) => {
    if (found.has(blob.digest)) return
    if (depth > maxDepth || found.size > maxManifests)
      throw new ArchiveError('too-large', 'the archive has too many manifests')
    await assertSize(files, blob)
    const manifest = parseOf(await readBytes(blob.digest), blob.mediaType)
    found.set(blob.digest, manifest)
    for (const child of manifest.references) {
      if (manifest.isIndex) await visit(child, depth + 1)
      else if (!found.has(child.digest)) {
        await assertSize(files, child)
        found.set(child.digest, undefined)
      }
    }
  }

  const readBytes = async (digest: Digest): Promise<Buffer> => {
    const name = pathOf(digest)
    const bytes = await readDocument(files, name, limits)
    if (bytes === undefined) throw missing(name)
    const actual = digestOf(bytes, algorithmOf(digest))
    if (actual === digest) return bytes
    await files.assertUnchanged(name)
    throw otherDigest(name, actual)
  }

  for (const { digest, size, mediaType } of roots)
    await visit({ digest, size, ...(mediaType !== undefined && { mediaType }) }, 0)
  await files.assertUnchanged()
  return {
    images: groupByDigest(roots),
    manifest: async (digest) => {
      const manifest = found.get(digest)
      if (manifest === undefined) throw missing(pathOf(digest))
      return { digest, mediaType: manifest.mediaType, bytes: await readBytes(digest) }
    },
    read: ({ digest, size }, { start = 0, end, signal } = {}) => {
      const name = pathOf(digest)
      // The reader of a part has another way to verify it.
      if (end !== undefined) return files.read(name, { start, end, signal })
      const chunks = files.read(name, { end: size, signal })
      return verified(chunks, { files, name, digest, start })
    },
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

async function assertSize(files: ArchiveFiles, { digest, size }: SourceBlob): Promise<void> {
  const name = pathOf(digest)
  const found = await files.size(name)
  if (found === undefined) throw missing(name)
  if (found !== size)
    throw new ArchiveError('invalid', `${name} has ${found} bytes, its descriptor says ${size}`)
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
