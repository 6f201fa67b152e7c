import { type Digest, isDigest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { isTag, type RepositoryName, type Tag } from '../../oci/reference.ts'
import type { TagVersion } from '../hosted/hosted-store.ts'
import { currentLink, historyLink, tagDirectory, tagsOf } from '../hosted/layout.ts'
import type { TagLink } from '../link-store.ts'
import type { ObjectStore } from '../object-store.ts'
import { digestOfLink } from './bucket-keys.ts'

/** Other replicas may set a tag at the same time, one after the other. */
const maxAttempts = 20

/**
 * `current/link` is what a tag points to, and `index/` has a link for each digest that it has ever
 * pointed to. A tag is what it was when it is set, or the write is repeated: so replicas agree on an order.
 */
export function createBucketTags({
  objects,
  root,
}: {
  readonly objects: ObjectStore
  readonly root: string
}) {
  const current = async (name: RepositoryName, tag: Tag) => {
    const found = await objects.read(currentLink(root, name, tag))
    const digest = found?.bytes.toString() ?? ''
    return {
      head: found?.head,
      link: found && isDigest(digest) ? { digest, at: found.head.modified } : undefined,
    }
  }

  const swap = async (name: RepositoryName, tag: Tag, digest: Digest): Promise<void> => {
    for (let count = 0; count < maxAttempts; count += 1) {
      const { head } = await current(name, tag)
      const condition = head === undefined ? 'absent' : { version: head.version }
      const key = currentLink(root, name, tag)
      if ((await objects.put(key, Buffer.from(digest), condition)).kind === 'created') return
    }
    throw new RegistryError('UNAVAILABLE', {
      message: `cannot set ${name}:${tag}: others set it all the time`,
      retryAfter: 1,
    })
  }

  const historyKeys = async (name: RepositoryName, tag: Tag) => {
    const found: { readonly key: string; readonly version: TagVersion }[] = []
    for await (const page of objects.list(`${tagDirectory(root, name, tag)}/index/`))
      for (const { key, modified } of page.objects) {
        const digest = digestOfLink(key)
        if (digest !== undefined) found.push({ key, version: { digest, at: modified } })
      }
    return found
  }

  const versions = async (name: RepositoryName, tag: Tag): Promise<readonly TagVersion[]> => {
    const [{ link }, history] = await Promise.all([current(name, tag), historyKeys(name, tag)])
    const earlier = history
      .map(({ version }) => version)
      .filter(({ digest }) => digest !== link?.digest)
    // What the tag points to is the newest, whatever the clock was.
    return [...(link === undefined ? [] : [link]), ...earlier.toSorted((a, b) => b.at - a.at)]
  }

  const addHistory = (name: RepositoryName, tag: Tag, digest: Digest) =>
    objects.put(`${tagDirectory(root, name, tag)}/${historyLink(digest)}`, Buffer.from(digest))

  return {
    versions,

    /** Those that point to something, sorted. */
    list: async (name: RepositoryName): Promise<readonly Tag[]> => {
      const prefix = `${tagsOf(root, name)}/`
      const found: Tag[] = []
      for await (const page of objects.list(prefix))
        for (const { key } of page.objects) {
          const [tag = '', ...rest] = key.slice(prefix.length).split('/')
          if (isTag(tag) && rest.join('/') === 'current/link') found.push(tag)
        }
      return found.toSorted()
    },

    exists: async (name: RepositoryName, tag: Tag): Promise<boolean> =>
      (await objects.head(currentLink(root, name, tag))) !== undefined,

    read: async (name: RepositoryName, tag: Tag): Promise<TagLink | undefined> => {
      const { link } = await current(name, tag)
      return link && { digest: link.digest, age: Math.max(0, Date.now() - link.at) }
    },

    /** A tag without history is complete, history without a tag is not. */
    set: async (name: RepositoryName, tag: Tag, digest: Digest): Promise<void> => {
      await swap(name, tag, digest)
      await addHistory(name, tag, digest)
    },

    /** The tag itself last: until then it exists. */
    remove: async (name: RepositoryName, tag: Tag): Promise<void> => {
      await objects.delete((await historyKeys(name, tag)).map(({ key }) => key))
      await objects.delete([currentLink(root, name, tag)])
    },

    /** Newest first. A tag that exists again keeps what it points to. */
    restore: async (
      name: RepositoryName,
      tag: Tag,
      history: readonly TagVersion[],
    ): Promise<void> => {
      for (const { digest } of history.toReversed()) await addHistory(name, tag, digest)
      const [newest] = history
      if (newest !== undefined)
        await objects.put(currentLink(root, name, tag), Buffer.from(newest.digest), 'absent')
    },
  }
}

export type BucketTags = ReturnType<typeof createBucketTags>
