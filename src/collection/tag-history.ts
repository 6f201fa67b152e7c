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
}

type TagName = { readonly name: RepositoryName; readonly tag: Tag }

/** What a tag pointed to, newest first. Empty: nothing is known of such a tag. */
export async function tagVersions(
  { store }: CollectionParts,
  { name, tag }: TagName,
): Promise<readonly TagVersion[]> {
  const current = (await store.links.tag(name, tag))?.digest
  const versions = await store.links.tagHistory(name, tag)
  return versions.map(({ digest, at }) => ({ digest, at, current: digest === current }))
}

export type TagUndo =
  | { readonly kind: 'undone'; readonly from?: Digest | undefined; readonly to: Digest }
  | { readonly kind: 'no-version' }
  /** The image's content has been deleted from the trash. */
  | { readonly kind: 'lost'; readonly to: Digest; readonly missing: readonly Digest[] }

/** Points a tag to what it pointed to before, or restores a tag that was removed. */
export async function undoTag(parts: CollectionParts, { name, tag }: TagName): Promise<TagUndo> {
  const { store, index, now } = parts
  const versions = await tagVersions(parts, { name, tag })
  const current = versions.find((version) => version.current)
  const before = versions.find(
    ({ digest, at }) => current === undefined || (digest !== current.digest && at <= current.at),
  )
  if (before === undefined) return { kind: 'no-version' }
  const { digest } = before
  const { missing } = await revive(parts, { name, digest })
  if (missing.length > 0) return { kind: 'lost', to: digest, missing }
  await store.links.setTag(name, tag, digest)
  index.apply([{ kind: 'tag', name, tag, digest, at: now() }])
  return { kind: 'undone', from: current?.digest, to: digest }
}
