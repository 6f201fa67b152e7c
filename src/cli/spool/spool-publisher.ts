import { LRUCache } from 'lru-cache'
import {
  ArchiveError,
  fileAsImage,
  type ImageSource,
  type KnownLayers,
  type LayerCompression,
  openImageArchive,
  type SourceBlob,
  type SourceImage,
} from '../../archive/archive.ts'
import { isRegistryError, type RegistryError } from '../../oci/errors.ts'
import { parseImageReference } from '../../oci/image-reference.ts'
import { isRepositoryName, parseTag, type RepositoryName, type Tag } from '../../oci/reference.ts'
import { type Job, type Publish, RejectedFile, UnfinishedFile } from '../../spooler/spooler.ts'
import { type Progress, pushImage, type Retry } from '../../transfer/transfer.ts'
import type { OpenRegistry } from '../login/registry-options.ts'

type Options = OpenRegistry & {
  readonly compression: LayerCompression
  /** For decompressed copies. */
  readonly directory: string
  /** `file`: below the spool. */
  readonly onProgress: (file: string, progress: Progress) => void
  readonly onRetry: (file: string, retry: Retry) => void
  readonly onUnlisted: (file: string, error: RegistryError) => void
}

type Push = Extract<Job, { kind: 'push' }>
/** One image, and where it goes. */
type Target = {
  readonly image: SourceImage
  readonly name: RepositoryName
  readonly tags: readonly Tag[]
}

const latest = parseTag('latest')
/** Layers whose compressed digest is remembered, so that the same layer is not compressed again. */
const maxKnownLayers = 10_000
/** Statuses of errors that pass: no answer in time, and too many requests. */
const temporary = [408, 429]

/** Pushes the files of a spool to one registry. */
export function createPublisher(options: Options): Publish {
  const { remote, host, compression, directory, onProgress, onRetry, onUnlisted } = options
  const layers = new LRUCache<string, SourceBlob>({ max: maxKnownLayers })
  const known: KnownLayers = {
    get: (diffId) => layers.get(diffId),
    set: (diffId, blob) => void layers.set(diffId, blob),
  }

  const push = async (job: Push, { name: file, path, signal }: Parameters<Publish>[1]) => {
    const source = await (job.isArchive
      ? openImageArchive(path, { compression, known, directory, signal })
      : fileAsImage(path, { title: job.title, signal }))
    try {
      const published = []
      for (const { image, name, tags } of targetsOf(source, job)) {
        const { digest } = await pushImage({
          source,
          image: image.digest,
          remote,
          name,
          tags,
          onProgress: (progress) => onProgress(file, progress),
          onRetry: (retry) => onRetry(file, retry),
          onUnlisted: (error) => onUnlisted(file, error),
          signal,
        })
        for (const tag of tags) published.push({ reference: `${host}/${name}:${tag}`, digest })
      }
      return published
    } finally {
      await source.close()
    }
  }

  /** A login that is refused everywhere will be mended, and then the file can be pushed. */
  const isLoginRefused = async (error: unknown): Promise<boolean> => {
    if (!isRegistryError(error, 'DENIED')) return false
    try {
      await remote.checkAccess()
      return false
    } catch {
      return true
    }
  }

  return async (job, file) => {
    try {
      if (job.kind === 'push') return await push(job, file)
      const { name, reference } = job
      await remote.writer.deleteManifest(name, reference)
      const suffix = 'tag' in reference ? `:${reference.tag}` : `@${reference.digest}`
      return [{ reference: `${host}/${name}${suffix}` }]
    } catch (error) {
      throw (await isLoginRefused(error)) ? error : classify(error)
    }
  }
}

/**
 * An archive of one image goes where its file's name says. Of several, those of one repository go to the
 * file's repository under their own tags, and others below it.
 */
function targetsOf({ images }: ImageSource, { name, tag }: Push): readonly Target[] {
  const [only] = images
  if (images.length === 1 && only !== undefined) {
    return [{ image: only, name, tags: [tag ?? latest] }]
  }
  if (tag !== undefined)
    throw new RejectedFile(
      `the archive has ${images.length} images, and its file name one tag: remove the tag from the name, or push one image`,
    )
  const named = images.map((image) => {
    const [first] = image.names.map(parseImageReference).filter((parsed) => parsed.name)
    if (first?.name === undefined || tagsIn(image).length === 0)
      throw new RejectedFile(
        'the archive has several images, and not all of them have a name and a tag',
      )
    return { image, repository: first.name, tags: tagsIn(image) }
  })
  const isOne = new Set(named.map(({ repository }) => repository)).size === 1
  return named.map(({ image, repository, tags }) => {
    const below = `${name}/${repository}`
    if (!isOne && !isRepositoryName(below))
      throw new RejectedFile(`${below} is not a repository name`)
    return { image, tags, name: isOne || !isRepositoryName(below) ? name : below }
  })
}

function tagsIn({ names }: SourceImage): readonly Tag[] {
  const tags = names.map((name) => parseImageReference(name).tag).filter((tag) => tag !== undefined)
  return [...new Set(tags)]
}

/** A 4XX of the registry will be the same the next time; everything else may pass. */
function classify(error: unknown): unknown {
  if (error instanceof ArchiveError) {
    const isUnfinished = error.fault === 'incomplete' || error.fault === 'changed'
    return isUnfinished
      ? new UnfinishedFile(error.message, { cause: error })
      : new RejectedFile(error.message, { cause: error })
  }
  const isFinal =
    isRegistryError(error) &&
    error.status >= 400 &&
    error.status < 500 &&
    !temporary.includes(error.status) &&
    // A collection removed a blob between the check for it and the manifest: it is sent the next time.
    error.code !== 'MANIFEST_BLOB_UNKNOWN'
  return isFinal ? new RejectedFile(error.message, { code: error.code, cause: error }) : error
}
