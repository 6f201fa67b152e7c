import { formatSize } from '../../oci/amounts.ts'
import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { Remote } from '../../remote/remote.ts'
import {
  createImageDetails,
  forEachOf,
  type ImageDetails,
  isAttestation,
} from '../../transfer/transfer.ts'
import { inNaturalOrder } from '../output/table.ts'

/** What is read of each tag besides its name: nothing, its digest, or the image as well. */
export type TagDetails = 'names' | 'digests' | 'long'

export type ListedTag = {
  readonly tag: Tag
  readonly digest?: Digest
  readonly mediaType?: string
  readonly artifactType?: string
  /** Bytes of all configs and layers, each once. */
  readonly size?: number
  readonly created?: string
  readonly platforms?: readonly {
    readonly platform: string
    readonly digest: Digest
    readonly size: number
    readonly created?: string
  }[]
}

/** Tags at a time. */
const parallel = 8

type Reading = {
  readonly remote: Remote
  readonly details: TagDetails
  readonly signal: AbortSignal
}

/** The tags of a repository in natural order; undefined if there is no such repository. */
export async function readTags(
  name: RepositoryName,
  { remote, details, signal }: Reading,
): Promise<readonly ListedTag[] | undefined> {
  const tags = await tagNames(remote, name)
  if (tags === undefined || details === 'names') return tags?.map((tag) => ({ tag }))
  const images = createImageDetails({ remote, name })
  const found = new Map<Tag, ListedTag>()
  await forEachOf(tags, {
    parallel,
    signal,
    action: async (tag) => {
      const digest = await digestOfTag(remote, name, tag)
      if (digest === undefined || details === 'digests')
        found.set(tag, { tag, ...(digest !== undefined && { digest }) })
      else found.set(tag, listed(tag, await images.read(digest)))
    },
  })
  return tags.flatMap((tag) => found.get(tag) ?? [])
}

/** All pages, in natural order. */
export async function tagNames(
  remote: Remote,
  name: RepositoryName,
): Promise<readonly Tag[] | undefined> {
  const tags = new Set<Tag>()
  let page = await remote.tags(name)
  if (page === undefined) return undefined
  for (;;) {
    for (const tag of page.tags) tags.add(tag)
    if (page.next === undefined) return inNaturalOrder(tags)
    page = (await remote.tags(name, { last: page.next })) ?? { tags: [], size: 0 }
  }
}

/** Undefined for a tag that was deleted meanwhile. */
export async function digestOfTag(
  remote: Remote,
  name: RepositoryName,
  tag: Tag,
): Promise<Digest | undefined> {
  const found = await remote.resolve(name, tag)
  if (typeof found !== 'object') return found
  found.release()
  return found.digest
}

function listed(tag: Tag, image: ImageDetails): ListedTag {
  const { digest, mediaType, artifactType, size, created, images } = image
  const platforms = images
    .filter((one) => !isAttestation(one))
    .flatMap(({ platform, digest: own, blobs, created: since }) => {
      if (platform === undefined) return []
      const bytes = blobs.reduce((sum, blob) => sum + blob.size, 0)
      return [
        { platform, digest: own, size: bytes, ...(since !== undefined && { created: since }) },
      ]
    })
  return {
    tag,
    digest,
    mediaType,
    ...(platforms.length === 0 && artifactType !== undefined && { artifactType }),
    size,
    ...(created !== undefined && { created }),
    platforms,
  }
}

const columns = {
  names: ['TAG'],
  digests: ['TAG', 'DIGEST'],
  long: ['TAG', 'DIGEST', 'SIZE', 'CREATED', 'PLATFORMS'],
} as const satisfies Record<TagDetails, readonly string[]>

export function columnsOf(details: TagDetails): readonly string[] {
  return columns[details]
}

/** One row of the table for a tag. Artifacts show their type in place of platforms. */
export function rowOf(details: TagDetails): (tag: ListedTag) => readonly string[] {
  return ({ tag, digest = '', size, created, platforms = [], artifactType = '' }) => {
    const kinds = platforms.map(({ platform }) => platform).join(',') || artifactType
    const cells = [
      tag,
      digest,
      size === undefined ? '' : formatSize(size),
      formatTime(created),
      kinds,
    ]
    return cells.slice(0, columns[details].length)
  }
}

/**
 * To the second, in UTC. Builds that can be reproduced write the year 1, Go's zero, or 1970 where nothing was set: it is not
 * known.
 */
export function formatTime(text: string | undefined): string {
  const time = Date.parse(text ?? '')
  return time > 0 ? `${new Date(time).toISOString().slice(0, 19)}Z` : ''
}

/** Those whose names begin with a prefix. */
export async function repositoriesOf(
  remote: Remote,
  prefix: string,
): Promise<readonly RepositoryName[]> {
  const names = new Set<RepositoryName>()
  for await (const page of remote.repositories())
    for (const name of page) if (name.startsWith(prefix)) names.add(name)
  return inNaturalOrder(names)
}
