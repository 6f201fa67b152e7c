import type { Access } from '../credentials/credentials.ts'

/** The repositories of a request, as the upstream names them, and what it does there. */
export type Target = {
  /** Empty: the registry as a whole. */
  readonly repository: string
  readonly access: Access
  /** A repository of the same upstream that a blob is mounted from. */
  readonly mountFrom?: string | undefined
  /** The list of all repositories. */
  readonly isCatalog?: boolean | undefined
}

/** Writing takes the right to read as well (distribution, "Token Scope Documentation"). */
const actions = {
  pull: 'pull',
  push: 'pull,push',
  delete: 'pull,push,delete',
} as const satisfies Record<Access, string>

/** Actions that a challenge may add to a token's scope: none of them writes. */
const readActions = new Set(['pull', 'metadata_read'])
/** Actions that a challenge may add for a repository that this request writes to. */
const writeActions = new Set([...readActions, 'push', 'metadata_write'])
const deleteActions = new Set([...writeActions, 'delete'])

/** A challenge names one repository, or two; Berth ignores longer scopes. */
const maxEntries = 4

/**
 * The scope of a token, as token endpoints accept it: entries separated by spaces (distribution,
 * "Token Scope Documentation"). Empty for the registry as a whole.
 */
export function scopeOf({ repository, access, mountFrom, isCatalog }: Target): string {
  if (isCatalog) return 'registry:catalog:*'
  if (repository === '') return ''
  const own = `repository:${repository}:${actions[access]}`
  return mountFrom === undefined ? own : `${own} repository:${mountFrom}:pull`
}

/**
 * The scope that a challenge requests, limited to what the request needs; `own` where it requests
 * nothing that Berth accepts. A front for another registry uses that registry's name of the
 * repository. Where a challenge requests more of the same repository, such as Azure's
 * `metadata_read`, our own actions stay included. The danger: an upstream that asks for a token
 * which can write elsewhere. Only the repository that the request writes to gets such actions.
 */
export function challengedScope(own: string, challenged: string | undefined): string {
  const ours = own.split(' ').flatMap((entry) => readEntry(entry, () => deleteActions))
  const mayAdd = (resource: string) =>
    mostOf(ours.find((entry) => entry.resource === resource)?.actions ?? [])
  const requested = (challenged ?? '').split(' ').flatMap((entry) => readEntry(entry, mayAdd))
  if (requested.length === 0 || requested.length > maxEntries) return own
  const writes = ours.some(({ actions }) => actions.includes('push'))
  const kept = writes ? ours : []
  const resources = new Set([...kept, ...requested].map(({ resource }) => resource))
  return [...resources]
    .map((resource) => {
      const all = [...ours, ...requested].filter((entry) => entry.resource === resource)
      return `${resource}:${[...new Set(all.flatMap(({ actions }) => actions))].join(',')}`
    })
    .join(' ')
}

function mostOf(own: readonly string[]): ReadonlySet<string> {
  if (own.includes('delete')) return deleteActions
  return own.includes('push') ? writeActions : readActions
}

type Entry = { readonly resource: string; readonly actions: readonly string[] }

function readEntry(
  text: string,
  accepted: (resource: string) => ReadonlySet<string>,
): readonly Entry[] {
  const [, resource, list = ''] =
    /^(repository(?:\([\w-]+\))?:[\x21-\x7e]{1,512}):([\w,*/-]+)$/.exec(text) ?? []
  if (resource === undefined) return []
  const actions = list.split(',').filter((action) => accepted(resource).has(action))
  return actions.length === 0 ? [] : [{ resource, actions }]
}
