import { createMatcher } from '../oci/globs.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Action } from './auth.ts'

/** Grants `actions` on repositories that match a glob to users, `*` being all who logged in. */
export type AccessRule = {
  readonly users: readonly string[]
  readonly repositories: readonly string[]
  /** Globs of repositories that the rule does not cover, though `repositories` has them. */
  readonly except?: readonly string[]
  readonly actions: readonly Action[]
}

/**
 * What any rule grants is granted. Without rules every user may pull; pushing and deleting always take
 * a rule: a user of a pull secret is in every namespace, and must not be able to replace an image.
 */
export function createPolicy(
  rules: readonly AccessRule[],
): (user: string, action: Action, name: RepositoryName) => boolean {
  if (rules.length === 0) return (_user, action) => action === 'pull'
  const compiled = rules.map(({ users, repositories, except, actions }) => ({
    users: new Set(users),
    actions: new Set(actions),
    covers: createMatcher({ include: repositories, except }),
  }))
  return (user, action, name) =>
    compiled.some(
      (rule) =>
        rule.actions.has(action) &&
        (rule.users.has(user) || rule.users.has('*')) &&
        rule.covers(name),
    )
}
