import { lstat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { ArchiveError } from './archive-error.ts'
import { type ArchiveFiles, openDirectoryFiles, openTarFiles } from './archive-files.ts'
import { createCopies } from './copies.ts'
import { openDockerArchive } from './docker-archive.ts'
import type { ImageSource } from './image-source.ts'
import type { KnownLayers, LayerCompression } from './layer.ts'
import { defaultLimits, type Limits } from './limits.ts'
import { openOciLayout } from './oci-layout.ts'
import { openStableFile } from './stable-file.ts'
import { unpackOuter } from './unpacked.ts'

export type OpenArchiveOptions = {
  readonly limits?: Limits
  /** Of layers that a docker archive has uncompressed; default gzip. */
  readonly compression?: LayerCompression
  readonly known?: KnownLayers | undefined
  /** For temporary copies, of a compressed archive and of layers that were compressed; default: the system's. */
  readonly directory?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Opens a docker archive, an OCI layout, or both in one (`docker save` since version 25), as a tar file,
 * compressed or not, or as a directory; by content, not by name. Before it resolves, manifests, sizes, and
 * layers that it has to compress are verified; other blobs while they are read.
 * @throws ArchiveError; errors of the file system.
 */
export async function openImageArchive(
  path: string,
  options: OpenArchiveOptions = {},
): Promise<ImageSource> {
  const { limits = defaultLimits, directory = tmpdir(), signal } = options
  const files = (await lstat(path)).isDirectory()
    ? openDirectoryFiles(path, limits)
    : await openTar(path, { directory, limits, signal })
  const copies = createCopies({ directory })
  const close = async () => {
    await copies.close()
    await files.close()
  }
  try {
    const source = await openImages(files, {
      compression: { kind: 'gzip' },
      ...options,
      limits,
      copies,
    })
    return { ...source, close }
  } catch (error) {
    await close()
    throw error
  }
}

type TarOptions = {
  readonly directory: string
  readonly limits: Limits
  readonly signal?: AbortSignal | undefined
}

async function openTar(
  path: string,
  { directory, limits, signal }: TarOptions,
): Promise<ArchiveFiles> {
  const packed = await openStableFile(path)
  let file = packed
  try {
    file = await unpackOuter(packed, { directory, limits, signal })
    return await openTarFiles(file, limits)
  } catch (error) {
    await file.close()
    throw error
  }
}

/**
 * The OCI layout is preferred, because its manifests keep their digests. docker's may reference platforms
 * that it has not saved; the docker archive beside it is then what is whole.
 */
async function openImages(
  files: ArchiveFiles,
  options: Parameters<typeof openDockerArchive>[1],
): Promise<ImageSource> {
  const isDocker = (await files.size('manifest.json')) !== undefined
  try {
    const layout = await openOciLayout(files, options)
    if (layout !== undefined) return layout
  } catch (error) {
    const isIncomplete = error instanceof ArchiveError && error.fault === 'missing'
    if (!isDocker || !isIncomplete) throw error
  }
  const archive = await openDockerArchive(files, options)
  if (archive !== undefined) return archive
  throw new ArchiveError(
    'not-an-image',
    'it has neither manifest.json (docker archive) nor index.json (OCI layout)',
  )
}
