/** The action on a repository. Pushing to an upstream will add another. */
type Action = 'pull'

/** Actions that a challenge may add to a token's scope: none of them writes. */
const readActions = new Set(['pull', 'metadata_read'])

/** A challenge names one repository, or two; Berth ignores longer scopes. */
const maxEntries = 4

/**
 * The scope of a token, as token endpoints accept it: entries separated by spaces (distribution,
 * "Token Scope Documentation"). Empty for the registry as a whole.
 */
export function scopeOf(repository: string, action: Action = 'pull'): string {
  return repository === '' ? '' : `repository:${repository}:${action}`
}

/**
 * The scope that a challenge requests, limited to read actions; `own` where it requests none that
 * Berth accepts. A front for another registry uses that registry's name of the repository. Where a
 * challenge requests more of the same repository, such as Azure's `metadata_read`, our own action
 * stays included.
 */
export function challengedScope(own: string, challenged: string | undefined): string {
  const asked = (challenged ?? '').split(' ').flatMap(readEntry)
  if (asked.length === 0 || asked.length > maxEntries) return own
  const [mine] = readEntry(own)
  return asked
    .map(({ resource, actions }) => {
      const all = mine?.resource === resource ? [...mine.actions, ...actions] : actions
      return `${resource}:${[...new Set(all)].join(',')}`
    })
    .join(' ')
}

type Entry = { readonly resource: string; readonly actions: readonly string[] }

function readEntry(text: string): readonly Entry[] {
  const [, resource, list = ''] =
    /^(repository(?:\([\w-]+\))?:[\x21-\x7e]{1,512}):([\w,*/-]+)$/.exec(text) ?? []
  const actions = list.split(',').filter((action) => readActions.has(action))
  return resource === undefined || actions.length === 0 ? [] : [{ resource, actions }]
}
