/** What is done with a repository. Pushing to an upstream will add another. */
type Action = 'pull'

/** Actions that an upstream may ask us to have a token for: none of them writes. */
const readActions = new Set(['pull', 'metadata_read'])

/** A challenge asks for one repository, or two; more is not a scope that we have use for. */
const maxEntries = 4

/**
 * What a token is for, as token endpoints take it: entries separated by spaces (distribution, "Token
 * Scope Documentation"). Empty for the registry as a whole.
 */
export function scopeOf(repository: string, action: Action = 'pull'): string {
  return repository === '' ? '' : `repository:${repository}:${action}`
}

/**
 * The scope that a challenge asks for, as far as it only reads; `own` where it asks for nothing that
 * we would. A front for another registry asks for what the repository is called there. Where it asks
 * for more of the same repository, such as Azure's `metadata_read`, what we do with it stays included.
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
