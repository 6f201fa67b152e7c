import { lstat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import {
  ArchiveError,
  fileAsImage,
  type ImageSource,
  type LayerCompression,
  openImageArchive,
} from '../../archive/archive.ts'
import type { Digest } from '../../oci/digest.ts'
import { isStoreName, openStoreImage, parseStoreReference } from '../../stores/stores.ts'
import { UsageError } from '../process/errors.ts'
import { isPlainFile } from './plain-file.ts'

type Opening = {
  /** The source is a file, whatever it contains. */
  readonly file?: boolean | undefined
  /** Which image of an archive of several. */
  readonly image?: string | undefined
  readonly compression: LayerCompression
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly onNote?: ((note: string) => void) | undefined
  readonly signal: AbortSignal
}

type OpenedImage = { readonly source: ImageSource; readonly digest: Digest }

/**
 * What a user names as the source of a push: `docker://NAME`, `podman://NAME`, `containerd://NAME`; else a
 * path of an archive, a layout or a file; else an image name, in any store of this machine.
 */
export async function openSource(named: string, opening: Opening): Promise<OpenedImage> {
  const { file, signal, compression } = opening
  const isPlain = file !== true && (await isPlainFile(named))
  if (isPlain) opening.onNote?.(`${named} is no archive: it is pushed as a file`)
  if (isPlain || file === true)
    return chosen(await reading(named, fileAsImage(named, { signal })), named, opening)
  const reference = parseStoreReference(named) ?? (await nameOfNoFile(named))
  if (reference === undefined) {
    const archive = openImageArchive(named, { compression, signal })
    return chosen(await reading(named, archive), named, opening)
  }
  if (opening.image !== undefined)
    throw new UsageError('--image chooses from an archive; an image of a store has a name')
  return openStoreImage(reference, opening)
}

/** Its errors name the file. */
async function reading(path: string, source: Promise<ImageSource>): Promise<ImageSource> {
  try {
    return await source
  } catch (error) {
    if (error instanceof ArchiveError)
      throw new ArchiveError(error.fault, `cannot read ${path}: ${error.message}`, error)
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOSPC')
      throw new UsageError(
        `cannot copy ${path} to ${tmpdir()}: no space left; set TMPDIR to a directory with more`,
        { cause: error },
      )
    if (code !== 'ENOENT') throw error
    throw new UsageError(`cannot read ${path}: there is no such file or directory`, {
      cause: error,
    })
  }
}

/** Undefined: it is the path of a file, even if there is none. */
async function nameOfNoFile(text: string): Promise<{ readonly name: string } | undefined> {
  const isArchive = /\.(?:tar|tgz|tar\.gz|tar\.zst)$/.test(text)
  if (isArchive || !isStoreName(text)) return undefined
  const isFile = await lstat(text).then(
    () => true,
    () => false,
  )
  return isFile ? undefined : { name: text }
}

async function chosen(source: ImageSource, path: string, { image }: Opening): Promise<OpenedImage> {
  try {
    return { source, digest: choose(source, image, path).digest }
  } catch (error) {
    await source.close()
    throw error
  }
}

/** @throws UsageError if the archive has several images and none is chosen. */
function choose({ images }: ImageSource, wanted: string | undefined, path: string) {
  const found =
    wanted === undefined
      ? images
      : images.filter(({ names, digest }) => digest === wanted || names.includes(wanted))
  const [image] = found
  if (image !== undefined && found.length === 1) return image
  const names = images.flatMap(({ names: all, digest }) => (all.length > 0 ? all : [digest]))
  throw new UsageError(
    `${path} has ${found.length === 0 ? 'no such image' : 'several images'}: choose one with --image: ${names.join(', ')}`,
  )
}
