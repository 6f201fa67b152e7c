import { LRUCache } from 'lru-cache'
import type { Content } from '../../oci/content.ts'
import type { Digest } from '../../oci/digest.ts'
import type { BlobCache } from '../blob-store.ts'
import type { HostedBlobs, HostedLinks, HostedStore } from '../hosted/hosted-store.ts'
import type { TagLink } from '../link-store.ts'
import { ObjectStoreError } from '../object-store.ts'
import { blobPath } from '../paths.ts'
import { createPatience } from './patience.ts'
import { createRecent, maxAnswers, usableFor } from './recent.ts'

type Parts = { readonly blobs: HostedBlobs; readonly links: HostedLinks }

/** Of blobs of at least `minSize` bytes that are not on the local disk. */
export type Redirects = {
  readonly minSize: number
  /** Undefined: no URL can be signed. */
  readonly urlOf: (key: string) => Promise<string | undefined>
}

type ReadingOptions = Parts & {
  readonly root: string
  /** The local disk. */
  readonly cache: BlobCache
  readonly redirects: Redirects | undefined
  /** Begins the download of a blob that is not on the local disk; its size. Undefined: it is missing. */
  readonly fetch: (digest: Digest) => Promise<number | undefined>
  /** A small blob that is in the bucket, and not on the local disk. */
  readonly readKnown: HostedBlobs['read']
  /** A blob that is in the bucket, from the local disk if it is there. */
  readonly openKnown: (
    digest: Digest,
    size: number,
    how?: { readonly ranged?: boolean },
  ) => Promise<Content>
}

/**
 * What pulls need to know, with few requests: the answers of the last minute count, except that a tag is asked
 * for each time. While the bucket fails or is silent, earlier answers count, and blobs that are on the local disk.
 *
 * The danger: a client does not upload a blob that an answer of the last minute says is there, although another
 * replica has removed it. Therefore the blobs of a manifest that is pushed are looked up in the bucket itself, and
 * a removed blob stays in the trash for longer than a push takes.
 *
 * Also returns `blobs` and `links` for those who write: what is removed by them is forgotten here at once.
 */
export function createBucketReading(
  options: ReadingOptions,
): Parts & Required<Pick<HostedStore, 'reading'>> {
  const { blobs, links, root, cache, redirects, fetch, openKnown, readKnown } = options
  const patience = createPatience()
  const found = createRecent<true>(patience)
  const sizes = createRecent<number>(patience)
  const tags = new LRUCache<string, TagLink>({ max: maxAnswers, ttl: usableFor })
  /** Answers that were asked for before a change are older than it. */
  let tagChanges = 0

  const isLinked = async (key: string, ask: () => Promise<boolean>): Promise<boolean> =>
    (await found.find(key, async () => (await ask()) || undefined)) === true

  const localSize = async (digest: Digest) => (await cache.stat(digest))?.size

  const sizeOf = (digest: Digest): Promise<number | undefined> =>
    sizes.find(
      digest,
      async () => (await blobs.stat(digest))?.size,
      () => localSize(digest),
    )

  /** Then its bytes are requested at once, which say its size. */
  const isNew = (digest: Digest): boolean =>
    !sizes.isKnown(digest) && cache.sizeOf(digest) === undefined

  const open: HostedBlobs['open'] = async (digest, how) => {
    const size = isNew(digest)
      ? await sizes.find(
          digest,
          () => fetch(digest),
          () => localSize(digest),
        )
      : await sizeOf(digest)
    return size === undefined ? undefined : openKnown(digest, size, how)
  }

  const read: HostedBlobs['read'] = async (digest, limit) => {
    const own: { bytes?: Buffer | undefined } = {}
    const ask = async () => {
      own.bytes = await blobs.read(digest, limit)
      return own.bytes?.length
    }
    const size = isNew(digest)
      ? await sizes.find(digest, ask, () => localSize(digest))
      : await sizeOf(digest)
    if (size === undefined || size > limit) return undefined
    return own.bytes ?? (await cache.read(digest, limit)) ?? readKnown(digest, limit)
  }

  const findUrl = async (digest: Digest, { minSize, urlOf }: Redirects) => {
    if (cache.sizeOf(digest) !== undefined) return undefined
    const size = await sizeOf(digest)
    return size !== undefined && size >= minSize ? urlOf(blobPath(root, digest)) : undefined
  }

  const tag: HostedLinks['tag'] = async (name, tag) => {
    const key = `${name}:${tag}`
    const ask = async () => {
      const changesBefore = tagChanges
      const link = await links.tag(name, tag)
      if (tagChanges !== changesBefore) return link
      if (link === undefined) tags.delete(key)
      else tags.set(key, link)
      return link
    }
    const last = tags.get(key)
    if (last === undefined) return ask()
    try {
      return await patience(ask, last)
    } catch (error) {
      if (!(error instanceof ObjectStoreError)) throw error
      return last
    }
  }

  const tagChanged = (key: string) => {
    tagChanges += 1
    tags.delete(key)
  }

  return {
    reading: {
      links: {
        ...links,
        hasBlob: (name, digest) =>
          isLinked(`blob ${name}@${digest}`, () => links.hasBlob(name, digest)),
        hasManifest: (name, digest) =>
          isLinked(`manifest ${name}@${digest}`, () => links.hasManifest(name, digest)),
        tag,
      },
      blobs: {
        ...blobs,
        ...(redirects && { urlOf: (digest) => findUrl(digest, redirects) }),
        open,
        stat: async (digest) => {
          const size = await sizeOf(digest)
          return size === undefined ? undefined : { size }
        },
        read,
      },
    },
    links: {
      ...links,
      removeBlob: (name, digest, run) =>
        links.removeBlob(name, digest, run).finally(() => found.forget(`blob ${name}@${digest}`)),
      removeManifest: (name, digest, run) =>
        links
          .removeManifest(name, digest, run)
          .finally(() => found.forget(`manifest ${name}@${digest}`)),
      setTag: async (name, tag, digest) => {
        const key = `${name}:${tag}`
        await links.setTag(name, tag, digest).finally(() => tagChanged(key))
        tags.set(key, { digest, age: 0 })
      },
      removeTag: (name, tag) =>
        links.removeTag(name, tag).finally(() => tagChanged(`${name}:${tag}`)),
      untag: (name, tag, run) =>
        links.untag(name, tag, run).finally(() => tagChanged(`${name}:${tag}`)),
    },
    blobs: {
      ...blobs,
      remove: (digest, run) => blobs.remove(digest, run).finally(() => sizes.forget(digest)),
    },
  }
}
