import type { Digest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { CollectionParts } from './collection-parts.ts'
import { revive } from './revival.ts'

export type TagVersion = {
  readonly digest: Digest
  /** When the tag was set to it, in milliseconds since the epoch. */
  readonly at: number
  /** Whether the tag points to it now. */
  readonly current: boolean
  readonly content: VersionContent
}

/**
 * Where the manifest of a version is: the rest of the image is removed with it or later. Without it, the
 * version cannot be restored. `until`: then the trash is emptied, or earlier while the disk is nearly full.
 */
type VersionContent =
  | { readonly kind: 'stored' }
  | { readonly kind: 'trash'; readonly until: number }
  | { readonly kind: 'deleted' }

/** `at`: when the tag was set to the digest. `until`: then the tag is deleted from the trash. */
export type RemovedTag = Omit<TagVersion, 'current'> & {
  readonly tag: Tag
  readonly removedAt: number
  readonly until: number
}

type TagName = { readonly name: RepositoryName; readonly tag: Tag }

/** What a tag pointed to, newest first. Empty: nothing is known of such a tag. */
export async function tagVersions(
  parts: CollectionParts,
  tag: TagName,
): Promise<readonly TagVersion[]> {
  const versions: TagVersion[] = []
  for (const version of await versionsOf(parts, tag))
    versions.push({ ...version, content: await contentOf(parts, version.digest) })
  return versions
}

async function versionsOf(
  { store }: CollectionParts,
  { name, tag }: TagName,
): Promise<readonly Omit<TagVersion, 'content'>[]> {
  const current = (await store.links.tag(name, tag))?.digest
  const versions = await store.links.tagHistory(name, tag)
  return versions.map(({ digest, at }) => ({ digest, at, current: digest === current }))
}

/** Tags that were removed and can be restored, those that were removed last first. */
export async function removedTags(
  parts: CollectionParts,
  { name, limit }: { readonly name: RepositoryName; readonly limit: number },
): Promise<readonly RemovedTag[]> {
  const found: RemovedTag[] = []
  for await (const removed of parts.store.links.removedTags(name)) {
    if (found.length === limit) break
    const content = await contentOf(parts, removed.digest)
    found.push({ ...removed, until: removed.removedAt + parts.settings.trash, content })
  }
  return found
}

async function contentOf(
  { store, settings }: CollectionParts,
  digest: Digest,
): Promise<VersionContent> {
  if (await store.blobs.isStored(digest)) return { kind: 'stored' }
  const removedAt = await store.trash.removedAt(digest)
  return removedAt === undefined
    ? { kind: 'deleted' }
    : { kind: 'trash', until: removedAt + settings.trash }
}

export type TagUndo =
  | { readonly kind: 'undone'; readonly from?: Digest | undefined; readonly to: Digest }
  | { readonly kind: 'no-version' }
  /** The image's content has been deleted from the trash. */
  | { readonly kind: 'lost'; readonly to: Digest; readonly missing: readonly Digest[] }

/** Points a tag to what it pointed to before, or to an earlier version, or restores a tag that was removed. */
export async function undoTag(
  parts: CollectionParts,
  { name, tag, to }: TagName & { readonly to?: Digest | undefined },
): Promise<TagUndo> {
  const { store, index, now } = parts
  const versions = await versionsOf(parts, { name, tag })
  const current = versions.find((version) => version.current)
  const before = versions.find(({ digest, at }) => {
    if (to !== undefined) return digest === to && digest !== current?.digest
    return current === undefined || (digest !== current.digest && at <= current.at)
  })
  if (before === undefined) return { kind: 'no-version' }
  const { digest } = before
  const { missing } = await revive(parts, { name, digest })
  if (missing.length > 0) return { kind: 'lost', to: digest, missing }
  await store.links.setTag(name, tag, digest)
  index.apply([{ kind: 'tag', name, tag, digest, at: now() }])
  return { kind: 'undone', from: current?.digest, to: digest }
}
