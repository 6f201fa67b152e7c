import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Digest } from '../oci/digest.ts'
import { blobPath, blobsDirectory, digestFromPath } from './paths.ts'

/** A blob's file as a walk found it. Size in bytes, times in milliseconds since the epoch. */
export type Found = { readonly digest: Digest; readonly size: number; readonly modified: number }

/** Walks all blobs, a directory at a time. What is no blob is passed over. */
export async function* scanBlobs(root: string): AsyncGenerator<readonly Found[], void, undefined> {
  for (const algorithm of ['sha256', 'sha512']) {
    for (const prefix of await list(join(blobsDirectory(root), algorithm))) {
      const names = await list(join(blobsDirectory(root), algorithm, prefix))
      const found = await Promise.all(
        names.map((encoded) => inspect(root, digestFromPath(algorithm, encoded))),
      )
      yield found.filter((entry) => entry !== undefined)
    }
  }
}

async function inspect(root: string, digest: Digest | undefined): Promise<Found | undefined> {
  if (digest === undefined) return undefined
  try {
    const file = await lstat(blobPath(root, digest))
    return file.isFile() ? { digest, size: file.size, modified: file.mtimeMs } : undefined
  } catch {
    return undefined
  }
}

async function list(directory: string): Promise<readonly string[]> {
  return readdir(directory).catch(() => [])
}
