import { lstat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { ArchiveError } from './archive-error.ts'
import { type ArchiveFiles, openDirectoryFiles, openTarFiles } from './archive-files.ts'
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
  /** For the decompressed copy of a compressed archive; default: the system's. */
  readonly directory?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Opens a docker archive, an OCI layout, or both in one (`docker save` since version 25), as a tar file,
 * compressed or not, or as a directory; by content, not by name. All digests and sizes are verified
 * before it resolves.
 * @throws ArchiveError; errors of the file system.
 */
export async function openImageArchive(
  path: string,
  options: OpenArchiveOptions = {},
): Promise<ImageSource> {
  const { limits = defaultLimits, signal } = options
  const files = (await lstat(path)).isDirectory()
    ? openDirectoryFiles(path, limits)
    : await openTar(path, { ...options, limits })
  try {
    return await openImages(files, { compression: 'gzip', ...options, limits, signal })
  } catch (error) {
    await files.close()
    throw error
  }
}

type Resolved = OpenArchiveOptions & { readonly limits: Limits }

async function openTar(
  path: string,
  { limits, directory = tmpdir(), signal }: Resolved,
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
