import { rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isTag, type RepositoryName } from '../oci/reference.ts'
import { removeDirectory } from './files.ts'
import { exists, list, readTag, removeTag, walk } from './links.ts'
import {
  blobPath,
  digestFromPath,
  repositoriesDirectory,
  tagLinkPath,
  tagsDirectory,
} from './paths.ts'

/**
 * Removes the cache's links to blobs that are not there any more, and the directories that are
 * empty then: without it they would pile up for as long as new images come. A link that is made
 * while this runs may be lost; then the upstream is asked once more. Rejects when it is told to stop.
 */
export async function sweepLinks(root: string, signal: AbortSignal): Promise<void> {
  const repositories = repositoriesDirectory(root)
  for await (const name of walk(repositories)) {
    await sweepDigests(root, join(repositories, name, '_layers'), signal)
    await sweepDigests(root, join(repositories, name, '_manifests', 'revisions'), signal)
    await sweepTags(root, repositories, name)
  }
  await removeEmpty(repositories, signal)
}

async function sweepDigests(root: string, directory: string, signal: AbortSignal): Promise<void> {
  for (const algorithm of await list(directory)) {
    for (const encoded of await list(join(directory, algorithm))) {
      signal.throwIfAborted()
      const digest = digestFromPath(algorithm, encoded)
      if (digest === undefined || (await exists(blobPath(root, digest)))) continue
      await removeDirectory(join(directory, algorithm, encoded))
    }
  }
}

async function sweepTags(root: string, repositories: string, name: RepositoryName): Promise<void> {
  for (const tag of (await list(tagsDirectory(repositories, name))).filter(isTag)) {
    const known = await readTag(tagLinkPath(repositories, name, tag))
    if (known === undefined || !(await exists(blobPath(root, known.digest))))
      await removeTag(repositories, name, tag)
  }
}

async function removeEmpty(directory: string, signal: AbortSignal): Promise<void> {
  for (const entry of await list(directory)) {
    signal.throwIfAborted()
    await removeEmpty(join(directory, entry), signal)
    await rmdir(join(directory, entry)).catch(() => {})
  }
}
