import type { Digest } from '../../oci/digest.ts'
import { isRepositoryName, type RepositoryName } from '../../oci/reference.ts'
import { repositoriesIn } from '../hosted/directories.ts'
import type { HostedLinks } from '../hosted/hosted-store.ts'
import {
  type LinkPath,
  layerLink,
  layersDirectory,
  manifestsDirectory,
  referrerLink,
  referrersDirectory,
  revisionLink,
  revisionsDirectory,
} from '../hosted/layout.ts'
import { createRunId } from '../hosted/run-id.ts'
import type { WriteAccess } from '../hosted/write-access.ts'
import type { ObjectStore } from '../object-store.ts'
import { repositoriesDirectory } from '../paths.ts'
import { childrenOf, hasAny, linksBelow } from './bucket-keys.ts'
import type { BucketTags } from './bucket-tags.ts'
import type { BucketTrash } from './bucket-trash.ts'

type BucketLinksOptions = {
  readonly objects: ObjectStore
  readonly root: string
  /** Has upload sessions. */
  readonly directory: string
  readonly access: WriteAccess
  readonly trash: BucketTrash
  readonly tags: BucketTags
  /** What a stored manifest refers to. */
  readonly subjectOf: (manifest: Digest) => Promise<Digest | undefined>
}

/** Links as objects, in the layout of Distribution. */
export function createBucketLinks(options: BucketLinksOptions): HostedLinks {
  const { objects, root, directory, access, trash, tags, subjectOf } = options

  const exists = async ({ path }: LinkPath): Promise<boolean> =>
    (await objects.head(path)) !== undefined

  const add = ({ path }: LinkPath, digest: Digest): Promise<void> =>
    access.change(async () => {
      await objects.put(path, Buffer.from(digest), 'absent')
    })

  /** One request for each part of a name. */
  async function* namesBelow(name = ''): AsyncGenerator<RepositoryName, void, undefined> {
    const directory = `${repositoriesDirectory(root)}${name === '' ? '' : `/${name}`}`
    const children = await childrenOf(objects, directory)
    if (isRepositoryName(name) && children.some((child) => child.startsWith('_'))) yield name
    for (const child of children) {
      const below = name === '' ? child : `${name}/${child}`
      if (isRepositoryName(below)) yield* namesBelow(below)
    }
  }

  const isManifest = (name: RepositoryName, digest: Digest) =>
    exists(revisionLink(root, name, digest))

  return {
    hasBlob: (name, digest) => exists(layerLink(root, name, digest)),
    hasManifest: isManifest,
    addBlob: (name, digest) => add(layerLink(root, name, digest), digest),
    addManifest: (name, digest) => add(revisionLink(root, name, digest), digest),

    tag: tags.read,
    setTag: (name, tag, digest) => access.change(() => tags.set(name, tag, digest)),
    removeTag: async (name, tag) => {
      await trash.take({ kind: 'tag', name, tag }, createRunId())
    },
    untag: (name, tag, run) => trash.take({ kind: 'tag', name, tag }, run),
    tagHistory: async (name, tag) => {
      const versions = await tags.versions(name, tag)
      return versions.length > 0 ? versions : trash.tagHistory(name, tag)
    },
    removedTags: trash.removedTags,

    tags: async (name) => {
      const found = await tags.list(name)
      // The directory alone may belong to nested repositories.
      const isThere = found.length > 0 || (await hasAny(objects, manifestsDirectory(root, name)))
      return isThere ? found : undefined
    },

    repositories: async () => {
      const names: RepositoryName[] = []
      for await (const name of namesBelow())
        if (await hasAny(objects, revisionsDirectory(root, name))) names.push(name)
      return names.toSorted()
    },

    names: async function* () {
      const seen = new Set<RepositoryName>()
      for await (const name of namesBelow()) {
        seen.add(name)
        yield name
      }
      for await (const name of repositoriesIn(directory)) if (!seen.has(name)) yield name
    },
    blobsOf: (name) => linksBelow(objects, layersDirectory(root, name)),
    manifestsOf: (name) => linksBelow(objects, revisionsDirectory(root, name)),

    removeBlob: (name, digest, run) => trash.take({ kind: 'layer', name, digest }, run),

    removeManifest: async (name, digest, run) => {
      if (!(await isManifest(name, digest))) return false
      const subject = await subjectOf(digest)
      const removed = await trash.take({ kind: 'manifest', name, digest }, run)
      if (subject !== undefined) await trash.take({ kind: 'referrer', name, subject, digest }, run)
      return removed
    },

    addReferrer: (name, subject, digest) =>
      add(referrerLink(root, name, { subject, digest }), digest),

    referrers: async (name, subject) => {
      const digests: Digest[] = []
      for await (const digest of linksBelow(objects, referrersDirectory(root, name, subject)))
        digests.push(digest)
      return digests.toSorted()
    },
  }
}
