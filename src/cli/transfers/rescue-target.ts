import { type Digest, isDigest } from '../../oci/digest.ts'
import { parseImageReference } from '../../oci/image-reference.ts'
import {
  isTag,
  joinName,
  nameBelow,
  parseRepositoryName,
  parseTag,
  type RepositoryName,
  type Tag,
} from '../../oci/reference.ts'
import { type FoundImage, type ImageQuery, isStoreName } from '../../stores/stores.ts'
import { UsageError } from '../process/errors.ts'

/** What a user wants rescued: IMAGE, IMAGE@DIGEST or DIGEST. */
export type Wanted = {
  readonly query: ImageQuery
  /** `HOST/NAME` of IMAGE. */
  readonly repository?: string
  /** Of IMAGE without a digest. */
  readonly tag?: Tag
}

/** Where a rescued image goes. Without tags it is there by its digest. */
export type RescueTarget = {
  readonly host: string
  readonly name: RepositoryName
  readonly tags: readonly Tag[]
  /** The user named the tag. Otherwise a tag that another image has in the registry is not moved. */
  readonly isTagNamed: boolean
}

/** @throws UsageError */
export function parseWanted(text: string): Wanted {
  if (isDigest(text)) return { query: { digest: text } }
  const { repository, digest, tag = parseTag('latest') } = parseName(text)
  if (!isStoreName(text)) throw new UsageError(`${text}: expected IMAGE, IMAGE@DIGEST or DIGEST`)
  const named = repository === undefined ? {} : { repository }
  if (digest !== undefined) return { query: { digest }, ...named }
  return { query: { name: text }, ...named, tag }
}

type Naming = {
  readonly wanted: Wanted
  /** TARGET of the command: `HOST/NAME[:TAG]`. */
  readonly target?: string | undefined
  /** `HOST[/PREFIX]` */
  readonly registry?: string | undefined
}

/**
 * Where an image goes: to TARGET; else to its own repository, or to one with the same path in another
 * registry. Its tag is that of TARGET or IMAGE, else those that it has on the node.
 * @throws UsageError if the image has no name, or several.
 */
export function rescueTarget(
  image: FoundImage,
  { wanted, target, registry }: Naming,
): RescueTarget {
  const named = image.names.map(parseName)
  const own = named.filter(
    ({ repository }) => repository !== undefined && repository === wanted.repository,
  )
  const known = own.length > 0 ? own : named
  const tagsOf = (those: readonly Named[]) =>
    wanted.tag === undefined ? unique(those.map(({ tag }) => tag)) : [wanted.tag]
  if (target !== undefined) {
    const { repository, tag, digest } = parseName(target)
    if (repository === undefined || digest !== undefined)
      throw new UsageError(`${target}: expected HOST[:PORT]/NAME[:TAG]`)
    const tags = tag === undefined ? tagsOf(known) : [tag]
    return { ...split(repository), tags, isTagNamed: tag !== undefined }
  }
  const [repository = wanted.repository, ...others] = unique(known.map((each) => each.repository))
  if (repository === undefined || others.length > 0)
    throw new UsageError(
      `${image.digest} has ${repository === undefined ? 'no name' : `several names (${[repository, ...others].join(', ')})`} on this node: say where to push it, as HOST[:PORT]/NAME[:TAG]`,
    )
  const tags = tagsOf(known.filter((each) => each.repository === repository))
  return { ...inRegistry(split(repository), registry), tags, isTagNamed: false }
}

/** All repositories that an image is named by. */
export function repositoriesOf({ names }: FoundImage): readonly string[] {
  return unique(names.map((name) => parseName(name).repository))
}

type Named = {
  /** `HOST/NAME`; undefined for a name without a host, which no registry has. */
  readonly repository?: string
  readonly tag?: Tag
  readonly digest?: Digest
}

function parseName(text: string): Named {
  // The CRI plugin stores images also under their IDs.
  if (isDigest(text)) return {}
  const [bare = '', digest = ''] = text.split('@')
  const [, tag = ''] = /:([^/:]+)$/.exec(bare) ?? []
  const { host, name } = parseImageReference(bare)
  return {
    ...(host !== undefined && name !== undefined && { repository: `${host}/${name}` }),
    ...(isTag(tag) && { tag }),
    ...(isDigest(digest) && { digest }),
  }
}

function unique<Item>(items: readonly (Item | undefined)[]): readonly Item[] {
  return [...new Set(items)].filter((item) => item !== undefined)
}

type Repository = Pick<RescueTarget, 'host' | 'name'>

function split(repository: string): Repository {
  const slash = repository.indexOf('/')
  return {
    host: repository.slice(0, slash),
    name: parseRepositoryName(repository.slice(slash + 1)),
  }
}

function inRegistry(own: Repository, registry: string | undefined): Repository {
  if (registry === undefined) return own
  const [host = '', ...path] = registry.split('/')
  const prefix = path.filter((part) => part !== '').join('/')
  const isBelow = nameBelow(prefix, own.name) !== undefined
  return { host, name: isBelow ? own.name : joinName(prefix, own.name) }
}

/** `HOST/NAME:TAG`, else `HOST/NAME@DIGEST`. */
export function formatTarget({ host, name, tags: [tag] }: RescueTarget, digest: Digest): string {
  return `${host}/${name}${tag === undefined ? `@${digest}` : `:${tag}`}`
}
