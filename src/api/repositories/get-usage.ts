import type { Identity } from '../../auth/auth.ts'
import type { CacheMemory } from '../../memory/memory.ts'
import { isRegistryError, RegistryError } from '../../oci/errors.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Inventory } from '../../registry/registry.ts'
import type { Access } from '../access.ts'
import type { Usage } from '../answers.ts'
import type { Handler } from '../call.ts'
import { createRecent } from './recent.ts'
import { namePart, partBelow } from './usage-parts.ts'

/** What was removed and is not deleted yet (collection/). */
export interface Trash {
  runs(): Promise<readonly { readonly bytes: number }[]>
}

type Options = {
  readonly inventory: Inventory
  readonly access: Access
  readonly caches: CacheMemory
  /** Of the hosted volume. */
  readonly index: { totals(): Promise<{ readonly bytes: number }> }
  readonly versions: Trash | undefined
}

type KindUsage = Usage['kinds'][number]
type Listed = Awaited<ReturnType<Inventory['list']>>[number]

/** Counting reads all that is known, so that its result is used for a while. */
export function createGetUsage(options: Options) {
  const { inventory, access, caches, index, versions } = options
  const kindUsages = createRecent<KindUsage>(caches)
  const taggedUsages = createRecent<Awaited<ReturnType<TaggedUsageOf>>>(caches)
  const trashes = createRecent<{ readonly bytes: number }>(caches)

  /** What the client may not see counts in no number, so that nobody learns what shares its bytes. */
  const visible = async (identity: Identity) => {
    const all = await inventory.list({ prefix: '', search: '' })
    const partial = !access.seesAll(identity)
    const names = all.filter(({ name }) => !partial || access.mayPull(identity, name))
    return { names, partial, key: partial ? names.map(({ name }) => name).join(' ') : '*' }
  }

  const count = async (kind: Listed['kind'], prefix: string, all: readonly Listed[]) => {
    const names = all.filter((each) => each.kind === kind).map(({ name }) => name)
    const parts = names.map((name) => [name, partBelow(prefix, name)] as const)
    const members = Map.groupBy(parts, ([, part]) => part)
    const of = (part: string) => (members.get(part) ?? []).map(([name]) => name)
    const counted = await inventory.usage(kind, parts)
    return {
      ...counted,
      at: new Date().toISOString(),
      kind,
      repositories: parts.length - of('').length,
      parts: counted.parts
        .map(({ part, ...bytes }) => ({
          ...bytes,
          name: namePart(of(part)),
          repositories: of(part).length,
        }))
        .toSorted(byFreed),
    }
  }

  const usage: Handler<'usage'> = async ({ identity, query: { prefix } }) => {
    const { names, partial, key } = await visible(identity)
    const kinds = await Promise.all(
      (['hosted', 'cached'] as const).map((kind) =>
        kindUsages(`${kind} ${prefix} ${key}`, async () => ({
          ...(await count(kind, prefix, names)),
          partial,
        })).catch(describeUnknown(kind, partial)),
      ),
    )
    const [hosted] = kinds
    const isAll = !partial && prefix === ''
    const trash =
      isAll && versions !== undefined
        ? await trashes('', async () => ({ bytes: sumOf(await versions.runs()) }))
        : undefined
    const waiting =
      isAll && hosted !== undefined && hosted.problem === undefined && hosted.repositories > 0
        ? (await index.totals()).bytes - hosted.unique
        : undefined
    return {
      body: {
        prefix,
        kinds,
        trash: trash?.bytes,
        waiting: waiting === undefined ? undefined : Math.max(0, waiting),
      },
    }
  }

  const taggedUsageOf = async (name: RepositoryName, others: readonly Listed[]) => {
    const repository = inventory.of(name)
    const names = others.filter((one) => one.kind === repository.kind && one.name !== name)
    const { parts, ...sums } = await repository.usage(names.map((one) => one.name))
    const untagged = parts.find(({ digest }) => digest === undefined)
    return {
      ...sums,
      at: new Date().toISOString(),
      name,
      kind: repository.kind,
      tagged: parts
        .flatMap(({ digest, ...rest }) => (digest === undefined ? [] : [{ digest, ...rest }]))
        .toSorted(byFreed),
      untagged: untagged && { unique: untagged.unique, own: untagged.own },
    }
  }
  type TaggedUsageOf = typeof taggedUsageOf

  const taggedUsage: Handler<'taggedUsage'> = async (call) => {
    const { name } = access.resolve(call)
    const { offset, n } = call.query
    const { names, partial, key } = await visible(call.identity)
    if (!names.some((one) => one.name === name))
      throw new RegistryError('NAME_UNKNOWN', { message: `there is no repository ${name} here` })
    const { tagged, ...rest } = await taggedUsages(`${name} ${key}`, () =>
      taggedUsageOf(name, names),
    )
    const end = offset + n
    return {
      body: {
        ...rest,
        partial,
        tagged: tagged.slice(offset, end),
        total: tagged.length,
        next: end < tagged.length ? end : undefined,
      },
    }
  }

  return { usage, taggedUsage }
}

function describeUnknown(kind: Listed['kind'], partial: boolean) {
  return (error: unknown): KindUsage => {
    if (!isRegistryError(error, 'UNAVAILABLE')) throw error
    const nothing = { repositories: 0, unique: 0, own: 0, parts: [] }
    return { ...nothing, kind, partial, at: new Date().toISOString(), problem: error.message }
  }
}

type Bytes = { readonly unique: number; readonly own: number }

function byFreed(one: Bytes, other: Bytes): number {
  return other.own - one.own || other.unique - one.unique
}

function sumOf(runs: readonly { readonly bytes: number }[]): number {
  return runs.reduce((sum, { bytes }) => sum + bytes, 0)
}
