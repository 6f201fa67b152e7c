import picomatch from 'picomatch'
import type { RepositoryName } from '../oci/reference.ts'
import type { Action } from './auth.ts'

/** Grants `actions` on repositories that match a glob to users, `*` being all who logged in. */
export type AccessRule = {
  readonly users: readonly string[]
  readonly repositories: readonly string[]
  readonly actions: readonly Action[]
}

/** Whatever any rule grants is granted. Without rules every user may pull, and that is all. */
export function createPolicy(
  rules: readonly AccessRule[],
): (user: string, action: Action, name: RepositoryName) => boolean {
  if (rules.length === 0) return (_user, action) => action === 'pull'
  const compiled = rules.map(({ users, repositories, actions }) => ({
    users: new Set(users),
    actions: new Set(actions),
    covers: picomatch([...repositories]),
  }))
  return (user, action, name) =>
    compiled.some(
      (rule) =>
        rule.actions.has(action) &&
        (rule.users.has(user) || rule.users.has('*')) &&
        rule.covers(name),
    )
}
