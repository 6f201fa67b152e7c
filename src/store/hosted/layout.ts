import { dirname, join } from 'node:path'
import { algorithmOf, type Digest, encodedOf } from '../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { UploadId } from '../../oci/upload-id.ts'
import {
  layerLinkPath,
  repositoriesDirectory,
  revisionLinkPath,
  tagLinkPath,
  tagsDirectory,
} from '../paths.ts'

// Paths of hosted repositories: Distribution's, and a few which it ignores.

/** The file of a link, and the last directory of its path that is never removed. */
export type LinkPath = { readonly path: string; readonly stable: string }

/** A link `…/ALGORITHM/HEX/link`, of which HEX is removed together with the file. */
function removable(path: string): LinkPath {
  return { path, stable: dirname(dirname(path)) }
}

export function layerLink(root: string, name: RepositoryName, digest: Digest): LinkPath {
  return removable(layerLinkPath(repositoriesDirectory(root), name, digest))
}

export function revisionLink(root: string, name: RepositoryName, digest: Digest): LinkPath {
  return removable(revisionLinkPath(repositoriesDirectory(root), name, digest))
}

export function layersDirectory(root: string, name: RepositoryName): string {
  return join(repositoriesDirectory(root), name, '_layers')
}

export function manifestsDirectory(root: string, name: RepositoryName): string {
  return join(repositoriesDirectory(root), name, '_manifests')
}

export function revisionsDirectory(root: string, name: RepositoryName): string {
  return join(manifestsDirectory(root, name), 'revisions')
}

/** Not Distribution's: the manifests that refer to a subject. */
export function referrersDirectory(root: string, name: RepositoryName, subject: Digest): string {
  const place = [algorithmOf(subject), encodedOf(subject)]
  return join(manifestsDirectory(root, name), 'referrers', ...place)
}

export function referrerLink(
  root: string,
  name: RepositoryName,
  { subject, digest }: { readonly subject: Digest; readonly digest: Digest },
): LinkPath {
  const directory = referrersDirectory(root, name, subject)
  return removable(join(directory, algorithmOf(digest), encodedOf(digest), 'link'))
}

/** Contains a directory for each tag. */
export function tagsOf(root: string, name: RepositoryName): string {
  return tagsDirectory(repositoriesDirectory(root), name)
}

export function tagDirectory(root: string, name: RepositoryName, tag: Tag): string {
  return join(tagsOf(root, name), tag)
}

export function currentLink(root: string, name: RepositoryName, tag: Tag): string {
  return tagLinkPath(repositoriesDirectory(root), name, tag)
}

/** Below the directory of a tag, a link for each digest that it pointed to. */
export function historyLink(digest: Digest): string {
  return join('index', algorithmOf(digest), encodedOf(digest), 'link')
}

export function uploadsDirectory(root: string, name: RepositoryName): string {
  return join(repositoriesDirectory(root), name, '_uploads')
}

export function uploadDirectory(root: string, name: RepositoryName, id: UploadId): string {
  return join(uploadsDirectory(root, name), id)
}

/** Contains a directory for each run, with the removed directories at their paths. */
export function trashDirectory(root: string): string {
  return join(root, '_trash')
}
