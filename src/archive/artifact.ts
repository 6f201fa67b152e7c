import { createDigester, type Digest, digestOf } from '../oci/digest.ts'
import { mediaTypes } from '../oci/manifest.ts'
import { missing } from './archive-files.ts'
import { oneChunk } from './bytes.ts'
import { manifestOf } from './docker-archive.ts'
import { titleAnnotation } from './file-image.ts'
import type { ImageSource, ReadOptions, SourceBlob } from './image-source.ts'
import { openStableFile, type StableFile } from './stable-file.ts'

export type ArtifactFile = {
  readonly path: string
  /** Its name for those who pull it: a relative path. */
  readonly title: string
  readonly mediaType: string
}

type ArtifactOptions = {
  readonly artifactType: string
  readonly annotations?: Readonly<Record<string, string>> | undefined
  readonly signal?: AbortSignal | undefined
}

/** image-spec, "Guidance for an Empty Descriptor". */
const empty = Buffer.from('{}')
const emptyType = 'application/vnd.oci.empty.v1+json'

type OpenedFile = ArtifactFile & SourceBlob & { readonly file: StableFile }

/**
 * Files as an OCI artifact: one layer for each, with its name as title, as ORAS writes them (image-spec,
 * "Guidelines for Artifact Usage"). Equal files with equal titles give equal artifacts.
 * @throws ArchiveError; errors of the file system.
 */
export async function filesAsArtifact(
  files: readonly ArtifactFile[],
  { artifactType, annotations, signal }: ArtifactOptions,
): Promise<ImageSource> {
  const opened: OpenedFile[] = []
  const close = async () => {
    for (const { file } of opened) await file.close()
  }
  try {
    for (const each of files) opened.push(await openFile(each, signal))
  } catch (error) {
    await close()
    throw error
  }
  const manifest = manifestOf({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType,
    config: { mediaType: emptyType, digest: digestOf(empty), size: empty.length },
    layers: opened.map(({ mediaType, digest, size, title }) => ({
      mediaType,
      digest,
      size,
      annotations: { [titleAnnotation]: title },
    })),
    ...(annotations !== undefined && { annotations }),
  })
  return {
    images: [{ names: [], digest: manifest.digest }],
    manifest: async (digest) => {
      if (digest === manifest.digest) return manifest
      throw missing(digest)
    },
    read: ({ digest }, options = {}) => read(opened, digest, options),
    close,
  }
}

async function openFile(file: ArtifactFile, signal: AbortSignal | undefined): Promise<OpenedFile> {
  const opened = await openStableFile(file.path)
  try {
    const digester = createDigester('sha256')
    for await (const chunk of opened.chunks({ start: 0, end: opened.size, signal }))
      digester.update(chunk)
    await opened.assertUnchanged()
    return { ...file, file: opened, digest: digester.digest(), size: opened.size }
  } catch (error) {
    await opened.close()
    throw error
  }
}

function read(
  opened: readonly OpenedFile[],
  digest: Digest,
  { start = 0, signal }: ReadOptions,
): AsyncIterable<Buffer> {
  const found = opened.find((each) => each.digest === digest)
  if (found !== undefined) return readFile(found.file, { start, signal })
  if (digest === digestOf(empty)) return oneChunk(empty.subarray(start))
  throw missing(digest)
}

async function* readFile(
  file: StableFile,
  { start = 0, signal }: ReadOptions,
): AsyncGenerator<Buffer> {
  yield* file.chunks({ start, end: file.size, signal })
  await file.assertUnchanged()
}
