import { createMatcher } from '../oci/globs.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { AccessRule, Action } from './access.ts'
import { groupsOf, type ServiceAccount } from './service-account.ts'

/** `everyone`: every client, where there are no users. */
type Subject =
  | { readonly kind: 'user'; readonly name: string }
  | ServiceAccount
  | { readonly kind: 'everyone' }

/** On how many repositories a subject may do something. */
type Extent = 'all' | 'some' | 'none'

interface Policy {
  allows(subject: Subject, action: Action, name: RepositoryName): boolean
  /** From the rules alone: `some` may be none of those that exist. */
  extentOf(subject: Subject, action: Action): Extent
}

/**
 * Allows what any rule allows. Without rules every user of the htpasswd file may pull, and service
 * accounts may do nothing: every pod has one. Pushing and deleting always need a rule: the user of a pull
 * secret is known in every namespace and must not replace images.
 */
export function createPolicy(rules: readonly AccessRule[]): Policy {
  if (rules.length === 0) return withoutRules
  const compiled = rules.map(({ users, groups = [], repositories, except, actions }) => ({
    isForEveryone: users.includes('*'),
    hasUser: matcherOf(users),
    hasGroup: matcherOf(groups),
    actions: new Set(actions),
    covers: createMatcher({ include: repositories, except }),
    coversAll: repositories.includes('**') && (except ?? []).length === 0,
  }))
  type Rule = (typeof compiled)[number]

  const isFor = (rule: Rule, subject: Subject): boolean => {
    switch (subject.kind) {
      case 'everyone':
        return rule.isForEveryone
      case 'user':
        return rule.hasUser(subject.name)
      case 'service-account':
        return rule.hasUser(subject.name) || groupsOf(subject).some(rule.hasGroup)
    }
  }

  return {
    allows: (subject, action, name) =>
      compiled.some(
        (rule) => rule.actions.has(action) && isFor(rule, subject) && rule.covers(name),
      ),
    extentOf: (subject, action) => {
      const found = compiled.filter((rule) => rule.actions.has(action) && isFor(rule, subject))
      if (found.length === 0) return 'none'
      return found.some(({ coversAll }) => coversAll) ? 'all' : 'some'
    },
  }
}

const withoutRules: Policy = {
  allows: ({ kind }, action) => action === 'pull' && kind !== 'service-account',
  extentOf: ({ kind }, action) =>
    action === 'pull' && kind !== 'service-account' ? 'all' : 'none',
}

/**
 * A star stands for any characters but a colon. So `*` is every user of an htpasswd file, whose names have
 * no colon, and no service account, whose names have three.
 */
function matcherOf(globs: readonly string[]): (name: string) => boolean {
  const exact = new Set(globs.filter((glob) => !glob.includes('*')))
  const patterns = globs.filter((glob) => glob.includes('*')).map(patternOf)
  return (name) => exact.has(name) || patterns.some((pattern) => pattern.test(name))
}

function patternOf(glob: string): RegExp {
  const texts = glob.split(/\*+/).map((text) => text.replace(/[$()+.?[\\\]^{|}-]/g, '\\$&'))
  return new RegExp(`^${texts.join('[^:]*')}$`)
}
