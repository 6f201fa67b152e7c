import { access, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Digest } from '../../oci/digest.ts'
import { isRepositoryName, type RepositoryName } from '../../oci/reference.ts'
import { errnoOf, isMissing } from '../files.ts'
import { blobsDirectory, digestFromPath, repositoriesDirectory } from '../paths.ts'
import type { StoredBlob } from './hosted-store.ts'

/** Files that are looked at together. */
const batchSize = 64

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/** Empty if the directory does not exist, or is no directory, or is a loop of symbolic links. */
export async function entriesOf(directory: string): Promise<readonly string[]> {
  return readdir(directory).catch((error: unknown) => {
    if (!isMissing(error) && errnoOf(error) !== 'ELOOP') throw error
    return []
  })
}

/** All repositories: directories with links of any kind or upload sessions. */
export async function* repositoriesIn(
  root: string,
  name = '',
): AsyncGenerator<RepositoryName, void, undefined> {
  const entries = await entriesOf(join(repositoriesDirectory(root), name))
  if (isRepositoryName(name) && entries.some((entry) => entry.startsWith('_'))) yield name
  for (const entry of entries) {
    const below = name === '' ? entry : `${name}/${entry}`
    if (isRepositoryName(below)) yield* repositoriesIn(root, below)
  }
}

/** Digests of the links `ALGORITHM/HEX/link` in a directory. */
export async function* linksIn(directory: string): AsyncGenerator<Digest, void, undefined> {
  for (const algorithm of await entriesOf(directory)) {
    const encoded = await entriesOf(join(directory, algorithm))
    for (let at = 0; at < encoded.length; at += batchSize) {
      const digests = encoded
        .slice(at, at + batchSize)
        .map((hex) => digestFromPath(algorithm, hex))
        .filter((digest) => digest !== undefined)
      const found = await Promise.all(
        // Distribution removes a link and leaves its directory.
        digests.map((digest) => exists(join(directory, digest.replace(':', '/'), 'link'))),
      )
      yield* digests.filter((_, index) => found[index])
    }
  }
}

/** All blobs below a root, or below a run in the trash. */
export async function* blobsIn(root: string): AsyncGenerator<StoredBlob, void, undefined> {
  for (const algorithm of await entriesOf(blobsDirectory(root)))
    for (const start of await entriesOf(join(blobsDirectory(root), algorithm))) {
      const directory = join(blobsDirectory(root), algorithm, start)
      const encoded = await entriesOf(directory)
      for (let at = 0; at < encoded.length; at += batchSize) {
        const batch = encoded.slice(at, at + batchSize)
        const found = await Promise.all(
          batch.map((hex) => storedBlob(digestFromPath(algorithm, hex), join(directory, hex))),
        )
        yield* found.filter((blob) => blob !== undefined)
      }
    }
}

async function storedBlob(
  digest: Digest | undefined,
  directory: string,
): Promise<StoredBlob | undefined> {
  if (digest === undefined) return undefined
  const file = await stat(join(directory, 'data')).catch((error: unknown) => {
    if (!isMissing(error)) throw error
  })
  return file?.isFile() ? { digest, size: file.size, modified: file.mtimeMs } : undefined
}
