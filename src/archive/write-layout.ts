import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ArchiveError } from './archive-error.ts'
import type { ImageSource, SourceImage } from './image-source.ts'
import { archiveEntries } from './write-archive.ts'

type LayoutOptions = {
  /** New or empty. It appears when it is complete. */
  readonly directory: string
  readonly platform: string
  readonly signal: AbortSignal
}

/**
 * Writes an OCI layout that is a directory: into a new one beside it, which is renamed at the end.
 * @throws ArchiveError; errors of the file system.
 */
export async function writeLayout(
  source: ImageSource,
  images: readonly SourceImage[],
  { directory, platform, signal }: LayoutOptions,
): Promise<void> {
  const path = directory.replace(/\/+$/, '') || '/'
  await assertEmpty(path)
  const temporary = `${path}.${process.pid}.tmp`
  await mkdir(temporary)
  try {
    const entries = archiveEntries(source, images, { platform, format: 'oci', signal })
    for await (const { name, chunks } of entries) {
      await mkdir(dirname(join(temporary, name)), { recursive: true })
      await writeFile(join(temporary, name), chunks, signal)
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    throw error
  }
}

async function assertEmpty(path: string): Promise<void> {
  const names = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  if (names.length > 0) throw new ArchiveError('invalid', `${path} is not empty`)
}

async function writeFile(
  path: string,
  chunks: AsyncIterable<Buffer> | Iterable<Buffer>,
  signal: AbortSignal,
): Promise<void> {
  const file = await open(path, 'wx', 0o644)
  try {
    for await (const chunk of chunks) {
      signal.throwIfAborted()
      await file.appendFile(chunk)
    }
    await file.sync()
  } finally {
    await file.close()
  }
}
