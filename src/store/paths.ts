import { join } from 'node:path'
import { algorithmOf, type Digest, encodedOf, isDigest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'

// The layout of Distribution, so that Berth can read its volumes and existing tools can read those
// of Berth.

const version = join('docker', 'registry', 'v2')

/** Contains `ALGORITHM/ab/abcdef…/data`. */
export function blobsDirectory(root: string): string {
  return join(root, version, 'blobs')
}

export function blobDirectory(root: string, digest: Digest): string {
  const encoded = encodedOf(digest)
  return join(blobsDirectory(root), algorithmOf(digest), encoded.slice(0, 2), encoded)
}

export function blobPath(root: string, digest: Digest): string {
  return join(blobDirectory(root, digest), 'data')
}

/** Checksums of the blocks of a blob, beside it. Distribution ignores unknown files. */
export function checksumsPath(root: string, digest: Digest): string {
  return join(blobDirectory(root, digest), 'checksums')
}

/** Unfinished files, on the same file system as their final paths. */
export function temporaryDirectory(root: string): string {
  return join(root, 'tmp')
}

/** The few directories that all blobs of a cache share. */
export function frameDirectories(root: string): readonly string[] {
  const docker = join(root, 'docker')
  const blobs = blobsDirectory(root)
  return [
    root,
    docker,
    join(docker, 'registry'),
    join(root, version),
    blobs,
    join(blobs, 'sha256'),
    join(blobs, 'sha512'),
    temporaryDirectory(root),
  ]
}

/** The order in which the last run used blobs. */
export function recencyPath(root: string): string {
  return join(root, 'recency')
}

/** The links of upstream repositories. */
export function linksPath(root: string): string {
  return join(root, 'links')
}

/** The pinned images of a cache. */
export function pinsPath(root: string): string {
  return join(root, 'pins')
}

/** Contains repositories by name. */
export function repositoriesDirectory(root: string): string {
  return join(root, version, 'repositories')
}

export function layerLinkPath(repositories: string, name: RepositoryName, digest: Digest): string {
  return join(repositories, name, '_layers', algorithmOf(digest), encodedOf(digest), 'link')
}

export function revisionLinkPath(
  repositories: string,
  name: RepositoryName,
  digest: Digest,
): string {
  return join(
    repositories,
    name,
    '_manifests',
    'revisions',
    algorithmOf(digest),
    encodedOf(digest),
    'link',
  )
}

export function tagsDirectory(repositories: string, name: RepositoryName): string {
  return join(repositories, name, '_manifests', 'tags')
}

export function tagLinkPath(repositories: string, name: RepositoryName, tag: Tag): string {
  return join(tagsDirectory(repositories, name), tag, 'current', 'link')
}

/**
 * The digest of a directory below `blobs/` or `_layers/`; undefined when the names are not those of
 * a digest.
 */
export function digestFromPath(algorithm: string, encoded: string): Digest | undefined {
  const digest = `${algorithm}:${encoded}`
  return isDigest(digest) ? digest : undefined
}
