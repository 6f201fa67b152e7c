import { formatDuration } from '../oci/amounts.ts'
import type { Why } from './answer.ts'
import type { Step } from './step.ts'

/** `now`: milliseconds since the epoch. */
export function lifetimeStep(
  { lifetime }: Why,
  { now }: { readonly now: number },
): Step | undefined {
  if (lifetime === undefined) return undefined
  if (lifetime.kind === 'cache')
    return {
      step: 'lifetime',
      state: 'ok',
      message: lifetime.pinned
        ? 'pinned: it is never evicted'
        : 'no date: evicted when the cache needs room, least recently used first, images in use last',
    }
  const ago = (at: string) => `${formatDuration(now - Date.parse(at))} ago`
  const { pushedAt, pushedBy, pulledAt } = lifetime
  const parts = [
    pushedAt &&
      `pushed ${ago(pushedAt)}${pushedBy === undefined || pushedBy === 'auth-off' ? '' : ` by ${pushedBy}`}`,
    pulledAt === undefined ? 'not pulled yet' : `pulled ${ago(pulledAt)}`,
    reasonOf(lifetime),
  ]
  return {
    step: 'lifetime',
    state: lifetime.decision === 'delete' ? 'warning' : 'ok',
    message: parts.filter(Boolean).join('; '),
  }
}

type HostedLifetime = Extract<Why['lifetime'], { readonly kind: 'hosted' }>

function reasonOf({ pinned, reason, rule, decision, deletedFrom }: HostedLifetime) {
  switch (reason) {
    case 'in-use':
      return 'kept because a workload uses it'
    case 'pinned':
      return 'pinned'
    case 'no-rule':
      return 'kept: no rule deletes it'
    case 'not-yet':
      return `deleted from ${deletedFrom} on, by the rule "${rule}"`
    case 'leased':
      return `kept for the grace period of pushes; then the rule "${rule}" deletes it`
    case 'rule':
      return decision === 'keep'
        ? `kept by the rule "${rule}"`
        : `deleted by the next run of retention, by the rule "${rule}"`
    case 'child-of':
    case 'subject-of':
    case 'referrer-of':
      return `${decision === 'keep' ? 'kept' : 'deleted'} with the image that it belongs to`
    default:
      return pinned ? 'pinned' : ''
  }
}
