import { type Digest, isDigest } from '../oci/digest.ts'
import { parseImageName } from '../oci/image-location.ts'
import {
  isTag,
  joinName,
  nameBelow,
  parseRepositoryName,
  type RepositoryName,
  type Tag,
} from '../oci/reference.ts'
import { type FoundImage, type ImageQuery, isStoreName } from '../stores/stores.ts'
import { UsageError } from './errors.ts'

/** What a user wants rescued: IMAGE, IMAGE@DIGEST or DIGEST. */
export type Wanted = {
  readonly query: ImageQuery
  /** `HOST/NAME` of IMAGE. */
  readonly repository?: string
}

/** Where a rescued image goes. Without tags it is there by its digest. */
export type RescueTarget = {
  readonly host: string
  readonly name: RepositoryName
  readonly tags: readonly Tag[]
}

/** @throws UsageError */
export function parseWanted(text: string): Wanted {
  if (isDigest(text)) return { query: { digest: text } }
  const digest = text.slice(text.indexOf('@') + 1)
  const location = parseImageName(text)
  if (location === undefined || !isStoreName(text))
    throw new UsageError(`${text}: expected IMAGE, IMAGE@DIGEST or DIGEST`)
  const repository = `${location.host}/${location.repository}`
  return { query: isDigest(digest) ? { digest } : { name: text }, repository }
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
 * registry. Its tags are those that it has on the node.
 * @throws UsageError if the image has no name, or several.
 */
export function rescueTarget(
  image: FoundImage,
  { wanted, target, registry }: Naming,
): RescueTarget {
  const named = namesOf(image)
  const own = named.filter(({ repository }) => repository === wanted.repository)
  if (target !== undefined) {
    const { repository, tag } = parseName(target)
    return {
      ...split(repository),
      tags: tag === undefined ? tagsOf(own.length > 0 ? own : named) : [tag],
    }
  }
  const repositories = [
    ...new Set((own.length > 0 ? own : named).map(({ repository }) => repository)),
  ]
  const [repository] = repositories.length === 0 ? [wanted.repository] : repositories
  if (repository === undefined || repositories.length > 1)
    throw new UsageError(
      `${image.digest} has ${repositories.length > 1 ? `several names here (${repositories.join(', ')})` : 'no name here'}: say where to push it, as HOST[:PORT]/NAME[:TAG]`,
    )
  const tags = tagsOf(named.filter((each) => each.repository === repository))
  return { ...inRegistry(split(repository), registry), tags }
}

/** All repositories that an image is named by. */
export function repositoriesOf(image: FoundImage): readonly string[] {
  return [...new Set(namesOf(image).map(({ repository }) => repository))]
}

type Named = { readonly repository: string; readonly tag?: Tag }

/** The names that are not digests only. */
function namesOf({ names }: FoundImage): readonly Named[] {
  return names.flatMap((name) =>
    isDigest(name) || parseImageName(name) === undefined ? [] : [parseName(name)],
  )
}

function tagsOf(named: readonly Named[]): readonly Tag[] {
  return [...new Set(named.flatMap(({ tag }) => (tag === undefined ? [] : [tag])))]
}

function parseName(text: string): Named {
  const location = parseImageName(text)
  if (location === undefined) throw new UsageError(`${text}: expected HOST[:PORT]/NAME[:TAG]`)
  const [, tag] = /:([^/:@]+)$/.exec(text.replace(/@.*$/, '')) ?? []
  const repository = `${location.host}/${location.repository}`
  return { repository, ...(tag !== undefined && isTag(tag) && { tag }) }
}

function split(repository: string): Pick<RescueTarget, 'host' | 'name'> {
  const slash = repository.indexOf('/')
  return {
    host: repository.slice(0, slash),
    name: parseRepositoryName(repository.slice(slash + 1)),
  }
}

function inRegistry(
  own: Pick<RescueTarget, 'host' | 'name'>,
  registry: string | undefined,
): Pick<RescueTarget, 'host' | 'name'> {
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
