import { dirname, join } from 'node:path'
import { isTag, type RepositoryName } from '../../oci/reference.ts'
import { blobDirectory, digestFromPath } from '../paths.ts'
import { blobsIn, entriesOf, linksIn, repositoriesIn } from './directories.ts'
import type { TrashEntry } from './hosted-store.ts'
import {
  layerLink,
  layersDirectory,
  manifestsDirectory,
  referrerLink,
  referrersDirectory,
  revisionLink,
  revisionsDirectory,
  tagDirectory,
  tagsOf,
} from './layout.ts'

/** What a run removed; `root` is its directory, which has the layout of a volume. */
export async function* entriesBelow(root: string): AsyncGenerator<TrashEntry, void, undefined> {
  for await (const { digest, size } of blobsIn(root)) yield { kind: 'blob', digest, size }
  for await (const name of repositoriesIn(root)) yield* entriesOfRepository(root, name)
}

async function* entriesOfRepository(
  root: string,
  name: RepositoryName,
): AsyncGenerator<TrashEntry, void, undefined> {
  for await (const digest of linksIn(layersDirectory(root, name)))
    yield { kind: 'layer', name, digest }
  for await (const digest of linksIn(revisionsDirectory(root, name)))
    yield { kind: 'manifest', name, digest }
  yield* referrersOf(root, name)
  for (const tag of await entriesOf(tagsOf(root, name)))
    if (isTag(tag)) yield { kind: 'tag', name, tag }
}

async function* referrersOf(
  root: string,
  name: RepositoryName,
): AsyncGenerator<TrashEntry, void, undefined> {
  const directory = join(manifestsDirectory(root, name), 'referrers')
  for (const algorithm of await entriesOf(directory))
    for (const encoded of await entriesOf(join(directory, algorithm))) {
      const subject = digestFromPath(algorithm, encoded)
      if (subject === undefined) continue
      for await (const digest of linksIn(referrersDirectory(root, name, subject)))
        yield { kind: 'referrer', name, subject, digest }
    }
}

/** The directory that is removed with an entry. */
export function directoryOf(root: string, entry: TrashEntry): string {
  switch (entry.kind) {
    case 'blob':
      return blobDirectory(root, entry.digest)
    case 'layer':
      return dirname(layerLink(root, entry.name, entry.digest).path)
    case 'manifest':
      return dirname(revisionLink(root, entry.name, entry.digest).path)
    case 'referrer':
      return dirname(referrerLink(root, entry.name, entry).path)
    case 'tag':
      return tagDirectory(root, entry.name, entry.tag)
  }
}

/** Bytes that an entry uses, without its directories. */
export function bytesOf(entry: TrashEntry): number {
  return entry.kind === 'blob' ? entry.size : 0
}
