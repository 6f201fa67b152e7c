import { dirname } from 'node:path'
import type { Digest } from '../../oci/digest.ts'
import { isTag, type RepositoryName } from '../../oci/reference.ts'
import { entriesOf, exists, linksIn, repositoriesIn } from './directories.ts'
import type { DurableFiles } from './durable-files.ts'
import type { HostedLinks } from './hosted-store.ts'
import {
  type LinkPath,
  layerLink,
  layersDirectory,
  manifestsDirectory,
  referrerLink,
  referrersDirectory,
  revisionLink,
  revisionsDirectory,
  tagsOf,
} from './layout.ts'
import { createRunId } from './run-id.ts'
import type { Syncing } from './syncing.ts'
import { createTags } from './tags.ts'
import type { TrashBin } from './trash.ts'
import type { WriteAccess } from './write-access.ts'

type HostedLinksOptions = {
  readonly root: string
  readonly files: DurableFiles
  readonly syncing: Syncing
  readonly trash: TrashBin
  readonly access: WriteAccess
  /** What a stored manifest refers to. */
  readonly subjectOf: (manifest: Digest) => Promise<Digest | undefined>
}

/** Links as files, in the layout of Distribution. */
export function createHostedLinks(options: HostedLinksOptions): HostedLinks {
  const { root, files, syncing, trash, access, subjectOf } = options
  const tags = createTags({ root, files, trash })

  const add = async ({ path, stable }: LinkPath, digest: Digest): Promise<void> => {
    if (await exists(path)) {
      // Another process may have written it without a sync.
      await files.directory(stable)
      return syncing.directories([stable, dirname(path)])
    }
    await files.writeFile({ to: path, stable, bytes: Buffer.from(digest), isNew: true })
  }

  const isManifest = (name: RepositoryName, digest: Digest) =>
    exists(revisionLink(root, name, digest).path)

  return {
    hasBlob: (name, digest) => exists(layerLink(root, name, digest).path),
    hasManifest: isManifest,
    addBlob: (name, digest) => access.change(() => add(layerLink(root, name, digest), digest)),

    addManifest: (name, digest) =>
      access.change(async () => {
        // The garbage collection of Distribution 3 fails in a repository without the directory.
        await files.directory(layersDirectory(root, name))
        await add(revisionLink(root, name, digest), digest)
      }),

    tag: tags.read,
    setTag: (name, tag, digest) => access.change(() => tags.set(name, tag, digest)),
    removeTag: async (name, tag) => {
      await trash.take({ kind: 'tag', name, tag }, createRunId(), true)
    },
    untag: (name, tag, run) => trash.take({ kind: 'tag', name, tag }, run, true),
    tagHistory: tags.history,
    removedTags: tags.removed,

    tags: async (name) => {
      // The directory alone may belong to nested repositories.
      if (!(await exists(manifestsDirectory(root, name)))) return undefined
      return (await entriesOf(tagsOf(root, name))).filter(isTag).toSorted()
    },

    repositories: async () => {
      const names: RepositoryName[] = []
      for await (const name of repositoriesIn(root))
        if (await isNotEmpty(linksIn(revisionsDirectory(root, name)))) names.push(name)
      return names.toSorted()
    },

    names: () => repositoriesIn(root),
    blobsOf: (name) => linksIn(layersDirectory(root, name)),
    manifestsOf: (name) => linksIn(revisionsDirectory(root, name)),

    removeBlob: (name, digest, run) => trash.take({ kind: 'layer', name, digest }, run, true),

    removeManifest: async (name, digest, run) => {
      if (!(await isManifest(name, digest))) return false
      const subject = await subjectOf(digest)
      const removed = await trash.take({ kind: 'manifest', name, digest }, run, true)
      if (subject !== undefined)
        await trash.take({ kind: 'referrer', name, subject, digest }, run, true)
      return removed
    },

    addReferrer: (name, subject, digest) =>
      access.change(() => add(referrerLink(root, name, { subject, digest }), digest)),

    referrers: async (name, subject) => {
      const digests: Digest[] = []
      for await (const digest of linksIn(referrersDirectory(root, name, subject)))
        digests.push(digest)
      return digests.toSorted()
    },
  }
}

async function isNotEmpty(values: AsyncIterable<unknown>): Promise<boolean> {
  for await (const _ of values) return true
  return false
}
