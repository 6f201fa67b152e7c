import { stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { isTag, type RepositoryName, type Tag } from '../../oci/reference.ts'
import { errnoOf, isMissing, openRegular } from '../files.ts'
import type { TagLink } from '../link-store.ts'
import { entriesOf, exists, linksIn } from './directories.ts'
import type { DurableFiles } from './durable-files.ts'
import type { RemovedTag, TagVersion } from './hosted-store.ts'
import { currentLink, historyLink, tagDirectory, tagsOf } from './layout.ts'
import { parseRunId, timeOfRun } from './run-id.ts'
import type { TrashBin } from './trash.ts'

/** The length of `sha512:` and its digits. */
const maxDigestLength = 7 + 128

type TagsOptions = {
  readonly root: string
  readonly files: DurableFiles
  readonly trash: Pick<TrashBin, 'roots'>
}

/**
 * A tag is a directory: `current/link` is what it points to, and `index/` has a link for each digest
 * that it has ever pointed to, written at that time.
 */
export function createTags({ root, files, trash }: TagsOptions) {
  /**
   * The directory alone makes a tag exist for Distribution: a new one appears with all that is in
   * it.
   */
  const create = async (name: RepositoryName, tag: Tag, digest: Digest): Promise<boolean> => {
    const place = { to: tagDirectory(root, name, tag), stable: tagsOf(root, name), isNew: true }
    try {
      const paths = ['current/link', historyLink(digest)]
      await files.writeTree({ ...place, paths, text: digest })
      return true
    } catch (error) {
      if (['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(errnoOf(error))) return false
      throw error
    }
  }

  const move = async (name: RepositoryName, tag: Tag, digest: Digest): Promise<void> => {
    const current = currentLink(root, name, tag)
    const before = await readLink(current)
    const stable = tagsOf(root, name)
    const history = join(tagDirectory(root, name, tag), historyLink(digest))
    try {
      await Promise.all(
        [current, history].map((to) => files.writeFile({ to, stable, bytes: Buffer.from(digest) })),
      )
    } catch (error) {
      // Not acknowledged, so it must not be visible.
      if (before !== undefined) await restore(current, before.digest)
      throw error
    }
  }

  const restore = (to: string, digest: Digest): Promise<void> =>
    files.writeFile({ to, stable: dirname(to), bytes: Buffer.from(digest) }).catch(() => {})

  const read = async (name: RepositoryName, tag: Tag): Promise<TagLink | undefined> => {
    const link = await readLink(currentLink(root, name, tag))
    return link && { digest: link.digest, age: Math.max(0, Date.now() - link.at) }
  }

  const versions = async (
    place: string,
    name: RepositoryName,
    tag: Tag,
  ): Promise<readonly TagVersion[]> => {
    const directory = tagDirectory(place, name, tag)
    const current = await readLink(currentLink(place, name, tag))
    const earlier: TagVersion[] = []
    for await (const digest of linksIn(join(directory, 'index'))) {
      if (digest === current?.digest) continue
      const written = await stat(join(directory, historyLink(digest))).catch(ignoreMissing)
      if (written !== undefined) earlier.push({ digest, at: written.mtimeMs })
    }
    // What the tag points to is the newest, whatever the clock was.
    const newest = current === undefined ? [] : [current]
    return [...newest, ...earlier.toSorted((a, b) => b.at - a.at)]
  }

  return {
    read,

    set: async (name: RepositoryName, tag: Tag, digest: Digest): Promise<void> => {
      const isNew = !(await exists(tagDirectory(root, name, tag)))
      if (!isNew || !(await create(name, tag, digest))) await move(name, tag, digest)
    },

    history: async (name: RepositoryName, tag: Tag): Promise<readonly TagVersion[]> => {
      for (const place of [root, ...(await trash.roots())])
        if (await exists(tagDirectory(place, name, tag))) return versions(place, name, tag)
      return []
    },

    removed: async function* (name: RepositoryName): AsyncGenerator<RemovedTag, void, undefined> {
      const seen = new Set<string>()
      for (const place of await trash.roots()) {
        const removedAt = timeOfRun(parseRunId(basename(place)))
        for (const tag of await entriesOf(tagsOf(place, name))) {
          if (!isTag(tag) || seen.has(tag)) continue
          seen.add(tag)
          if (await exists(tagDirectory(root, name, tag))) continue
          const [last] = await versions(place, name, tag)
          if (last !== undefined) yield { ...last, tag, removedAt }
        }
      }
    },
  }
}

/**
 * The digest in the file of a link, and when it was written; undefined when it does not exist or is
 * damaged, which is equivalent.
 */
async function readLink(path: string): Promise<TagVersion | undefined> {
  const file = await openRegular(path)
  if (file === 'missing' || file === 'not-regular') return undefined
  try {
    const { size, mtimeMs } = await file.stat()
    const digest = size > maxDigestLength ? '' : await file.readFile('utf8')
    return isDigest(digest) ? { digest, at: mtimeMs } : undefined
  } finally {
    await file.close()
  }
}

function ignoreMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error
  return undefined
}
