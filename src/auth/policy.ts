import { createMatcher } from '../oci/globs.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { AccessRule, Action } from './access.ts'

/**
 * Allows what any rule allows. Without rules every user may pull. Pushing and deleting always need a
 * rule: the user of a pull secret is known in every namespace and must not replace images.
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
