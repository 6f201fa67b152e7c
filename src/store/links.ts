import { access, readdir, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Digest, isDigest } from '../oci/digest.ts'
import { isRepositoryName, isTag, type RepositoryName, type Tag } from '../oci/reference.ts'
import { openRegular, removeDirectory, writeWhole } from './files.ts'
import type { LinkStore, TagLink } from './link-store.ts'
import {
  layerLinkPath,
  repositoriesDirectory,
  revisionLinkPath,
  tagLinkPath,
  tagsDirectory,
} from './paths.ts'
import { createTemporary } from './temporary.ts'

/** The length of `sha512:` and its digits. */
const maxDigestLength = 7 + 128

/**
 * Links as files, in the layout of Distribution. The modification time of a tag's file is the time
 * at which the tag was last validated.
 */
export function createDiskLinks({ root }: { readonly root: string }): LinkStore {
  const repositories = repositoriesDirectory(root)
  const temporary = createTemporary(root)

  const write = async (path: string, digest: Digest) =>
    writeWhole({ temporary: await temporary.path(), path, text: digest })

  const link = async (path: string, digest: Digest) => {
    if (!(await exists(path))) await write(path, digest)
  }

  return {
    hasBlob: (name, digest) => exists(layerLinkPath(repositories, name, digest)),
    hasManifest: (name, digest) => exists(revisionLinkPath(repositories, name, digest)),
    addBlob: (name, digest) => link(layerLinkPath(repositories, name, digest), digest),
    addManifest: (name, digest) => link(revisionLinkPath(repositories, name, digest), digest),
    tag: (name, tag) => readTag(tagLinkPath(repositories, name, tag)),

    setTag: async (name, tag, digest) => {
      const path = tagLinkPath(repositories, name, tag)
      const known = await readTag(path)
      if (known?.digest !== digest) return write(path, digest)
      const now = new Date()
      await utimes(path, now, now)
    },

    removeTag: (name, tag) => removeTag(repositories, name, tag),

    tags: async (name) => {
      // The directory alone may belong to nested repositories.
      if (!(await exists(join(repositories, name, '_manifests')))) return undefined
      return (await list(tagsDirectory(repositories, name))).filter(isTag).toSorted()
    },

    repositories: async () => {
      const names: RepositoryName[] = []
      for await (const name of walk(repositories))
        if (await exists(join(repositories, name, '_manifests'))) names.push(name)
      return names.toSorted()
    },
  }
}

/**
 * The digest and age in the file of a tag; undefined when it does not exist or is damaged, which is
 * equivalent.
 */
async function readTag(path: string): Promise<TagLink | undefined> {
  const file = await openRegular(path)
  if (file === 'missing' || file === 'not-regular') return undefined
  try {
    const { size, mtimeMs } = await file.stat()
    const digest = size > maxDigestLength ? '' : await file.readFile('utf8')
    return isDigest(digest) ? { digest, age: Math.max(0, Date.now() - mtimeMs) } : undefined
  } finally {
    await file.close()
  }
}

async function removeTag(repositories: string, name: RepositoryName, tag: Tag): Promise<void> {
  await removeDirectory(dirname(dirname(tagLinkPath(repositories, name, tag))))
}

/** All repositories below a directory: those that have links of any kind. */
async function* walk(
  repositories: string,
  name = '',
): AsyncGenerator<RepositoryName, void, undefined> {
  const entries = await list(join(repositories, name))
  if (isRepositoryName(name) && entries.some((entry) => entry.startsWith('_'))) yield name
  for (const entry of entries) {
    const below = name === '' ? entry : `${name}/${entry}`
    if (isRepositoryName(below)) yield* walk(repositories, below)
  }
}

async function list(directory: string): Promise<readonly string[]> {
  return readdir(directory).catch(() => [])
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
