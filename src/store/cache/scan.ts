import { lstat, readdir, rmdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { limitTasks } from '../../memory/memory.ts'
import type { Digest } from '../../oci/digest.ts'
import { minChecksummed } from '../checksum-file.ts'
import { diskUse } from '../files.ts'
import { blobDirectory, blobPath, blobsDirectory, checksumsPath, digestFromPath } from '../paths.ts'

/**
 * The file of a blob as a scan found it. `size`: disk use in bytes; times are in milliseconds since
 * the epoch.
 */
export type FoundBlob = {
  readonly digest: Digest
  readonly size: number
  readonly modified: number
}

/** Files that are looked at together: a start, and requests, do not wait behind all files of a directory. */
const width = 4

type Batch = { readonly directory: string; readonly found: readonly FoundBlob[] }

/**
 * Scans all blobs of a cache, one directory at a time. Other files are ignored; a directory that a
 * kill left without its blob is removed.
 */
export async function* scanBlobs(root: string): AsyncGenerator<Batch, void, undefined> {
  const inTurn = limitTasks(width)
  for (const algorithm of ['sha256', 'sha512']) {
    for (const prefix of await list(join(blobsDirectory(root), algorithm))) {
      const directory = join(blobsDirectory(root), algorithm, prefix)
      const names = await list(directory)
      const found = await Promise.all(
        names.map((encoded) => inTurn(() => inspect(root, digestFromPath(algorithm, encoded)))),
      )
      yield { directory, found: found.filter((entry) => entry !== undefined) }
    }
  }
}

async function inspect(root: string, digest: Digest | undefined): Promise<FoundBlob | undefined> {
  if (digest === undefined) return undefined
  try {
    const file = await lstat(blobPath(root, digest))
    if (!file.isFile()) return undefined
    const beside = file.size < minChecksummed ? 0 : await useOf(checksumsPath(root, digest))
    return { digest, size: diskUse(file) + beside, modified: file.mtimeMs }
  } catch {
    await unlink(checksumsPath(root, digest)).catch(() => {})
    await rmdir(blobDirectory(root, digest)).catch(() => {})
    return undefined
  }
}

function useOf(path: string): Promise<number> {
  return lstat(path).then(diskUse, () => 0)
}

async function list(directory: string): Promise<readonly string[]> {
  return readdir(directory).catch(() => [])
}
