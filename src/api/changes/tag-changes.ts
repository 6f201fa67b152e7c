import { type Digest, parseDigest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { parseTag, type RepositoryName, type Tag } from '../../oci/reference.ts'
import type { Inventory, Resolved } from '../../registry/registry.ts'
import { type Access, rightsOf } from '../access.ts'
import type { Handler } from '../call.ts'
import { timeOf } from '../times.ts'

type TagName = { readonly name: RepositoryName; readonly tag: Tag }

type Content =
  | { readonly kind: 'stored' | 'deleted' }
  | { readonly kind: 'trash'; readonly until: number }

/** What tags of hosted repositories pointed to (collection/). Times in milliseconds since the epoch. */
export interface TagVersions {
  tagHistory(tag: TagName): Promise<
    readonly {
      readonly digest: Digest
      readonly at: number
      readonly current: boolean
      readonly content: Content
    }[]
  >
  removedTags(of: { readonly name: RepositoryName; readonly limit: number }): Promise<
    readonly {
      readonly tag: Tag
      readonly digest: Digest
      readonly at: number
      readonly removedAt: number
      readonly until: number
      readonly content: Content
    }[]
  >
  undoTag(
    tag: TagName & { readonly to?: Digest | undefined },
  ): Promise<
    | { readonly kind: 'undone'; readonly from?: Digest | undefined; readonly to: Digest }
    | { readonly kind: 'no-version' }
    | { readonly kind: 'lost'; readonly to: Digest; readonly missing: readonly Digest[] }
  >
}

type Options = {
  readonly access: Access
  readonly inventory: Inventory
  /** Undefined: the volume is only read. */
  readonly versions: TagVersions | undefined
}

/** Entries of an answer. */
const maxVersions = 200
const maxRemoved = 1000

export function createGetTagHistory(options: Options): Handler<'tagHistory'> {
  const { access, inventory } = options
  return async (call) => {
    const resolved = access.resolve(call)
    const { name } = resolved
    const tag = parseTag(call.texts.tag)
    const versions = await versionsFor(options, name).tagHistory({ name, tag })
    if (versions.length === 0)
      throw new RegistryError('MANIFEST_UNKNOWN', { message: `nothing is known of ${name}:${tag}` })
    const described = versions
      .slice(0, maxVersions)
      .map(async ({ digest, at, current, content }) => ({
        digest,
        at: timeOf(at),
        current,
        pushedBy: (await inventory.of(name).image(digest))?.pushedBy,
        content: content.kind,
        until: content.kind === 'trash' ? timeOf(content.until) : undefined,
      }))
    return {
      body: {
        name,
        tag,
        may: rightsOf(access, call.identity, resolved),
        versions: await Promise.all(described),
        truncated: versions.length > maxVersions,
      },
    }
  }
}

export function createGetRemovedTags(options: Options): Handler<'removedTags'> {
  const { access } = options
  return async (call) => {
    const resolved = access.resolve(call)
    const { name } = resolved
    const found = await versionsFor(options, name).removedTags({ name, limit: maxRemoved + 1 })
    return {
      body: {
        name,
        may: rightsOf(access, call.identity, resolved),
        tags: found.slice(0, maxRemoved).map(({ tag, digest, at, removedAt, until, content }) => ({
          tag,
          digest,
          at: timeOf(at),
          removedAt: timeOf(removedAt),
          until: timeOf(until),
          content: content.kind,
        })),
        truncated: found.length > maxRemoved,
      },
    }
  }
}

export function createUndoTag(options: Options): Handler<'undoTag'> {
  return async (call) => {
    const { name } = options.access.resolve(call, 'push')
    const tag = parseTag(call.texts.tag)
    const to = call.query.to === undefined ? undefined : parseDigest(call.query.to)
    const undone = await versionsFor(options, name).undoTag({ name, tag, to })
    switch (undone.kind) {
      case 'undone':
        return { body: { name, digest: undone.to, before: undone.from, changed: true } }
      case 'no-version':
        throw new RegistryError('MANIFEST_UNKNOWN', {
          message: `${name}:${tag} ${to === undefined ? 'pointed to nothing else before' : `never pointed to ${to}, or does so now`}`,
        })
      case 'lost':
        throw new RegistryError('MANIFEST_UNKNOWN', {
          message: `${name}:${tag} pointed to ${undone.to}, whose content was deleted from the trash`,
        })
    }
  }
}

function versionsFor({ versions, inventory }: Options, name: RepositoryName): TagVersions {
  const isHosted = inventory.of(name).kind === 'hosted'
  if (isHosted && versions !== undefined) return versions
  throw new RegistryError('UNSUPPORTED', {
    message: isHosted
      ? `the versions of tags in ${name} are not known: the volume is read-only`
      : `${name} belongs to an upstream, which knows what its tags pointed to`,
  })
}

/** A user with the right to pull a tag may refresh it from the upstream. */
export function createRefreshTag({ access, inventory }: Options): Handler<'refreshTag'> {
  return async (call) => {
    const resolved = access.resolve(call)
    const { name, repository } = resolved
    if (inventory.of(name).kind === 'hosted')
      throw new RegistryError('UNSUPPORTED', {
        message: `${name} is stored here: there is no upstream to compare it with`,
      })
    const tag = parseTag(call.texts.tag)
    const before = await cachedDigest(inventory, resolved, tag)
    const found = await repository.manifest({ tag }, { isView: true, isForced: true })
    if (found === undefined)
      throw new RegistryError('MANIFEST_UNKNOWN', {
        message: `the upstream of ${name} has no tag ${tag} any more`,
      })
    if (found.warning !== undefined)
      throw new RegistryError('UNAVAILABLE', { status: 502, message: found.warning })
    return {
      body: { name, digest: found.digest, before, changed: found.digest !== before },
    }
  }
}

async function cachedDigest(inventory: Inventory, { name }: Resolved, tag: Tag) {
  const part = { order: 'name', descending: false, search: tag, offset: 0, limit: 1000 } as const
  const found = await inventory.of(name).tags(part)
  return found?.tags.find((each) => each.tag === tag)?.digest
}
