import type { Step, TagUndo, TagVersion } from '../../collection/collection.ts'
import type { Decision, Explanation } from '../../retention/retention.ts'
import type { TrashRun } from '../../store/store.ts'
import { formatTime } from './control-reply.ts'

/** A step of a run, for people. */
export function describeStep(step: Step): string {
  switch (step.step) {
    case 'candidates':
      return `${step.queued} unreferenced blobs, ${step.due} of them after their grace period`
    case 'remove':
      return `removed ${step.digest} (${step.size} bytes); to restore it: berth gc --undo ${step.run}`
    case 'would-remove':
      return `would remove ${step.digest} (${step.size} bytes)`
    case 'keep':
      return `kept ${step.digest}: ${step.reason}`
    case 'restore':
      return `restored ${step.digest} at once: ${step.reason}`
    case 'unlink':
      return `removed the link of ${step.name} to ${step.digest}`
    case 'missed':
      return `unreferenced, and not known to the index: ${step.digest} (${step.size} bytes)`
    case 'absent':
      return `missing: ${step.digest}, which ${step.name}@${step.manifest} references`
    case 'missing':
      return `cannot be restored: ${step.digest}`
    case 'free':
      return `deleted run ${step.run} from the trash: ${step.entries} entries, ${step.bytes} bytes (${step.reason})`
    case 'full':
      return `the volume has ${step.blobs} blobs; ${step.referenced} referenced, ${step.missed} not known to be unreferenced, ${step.absent} missing`
    case 'confirm':
      return `stopped: the run would remove ${step.remove} of ${step.of}; ${step.message}`
    case 'delete':
    case 'would-delete':
    case 'skip':
      return describeDeletion(step)
    case 'end':
      return describeEnd(step)
  }
}

const verbs = { delete: 'deleted', 'would-delete': 'would delete', skip: 'not deleted' } as const

function describeDeletion(step: Extract<Step, { step: keyof typeof verbs }>): string {
  const { name, tag, digest } = step
  const what = tag === undefined ? `${name}@${digest}` : `${name}:${tag}`
  const why = step.step === 'skip' ? 'it is needed, or has changed meanwhile' : describeReason(step)
  return `${verbs[step.step]} ${what}: ${why}`
}

function describeEnd({
  outcome,
  reason,
  removed,
  restored,
  bytes,
}: Extract<Step, { step: 'end' }>) {
  const why = reason === undefined ? '' : `: ${reason}`
  if (outcome === 'waiting') return `nothing was removed${why}`
  if (outcome === 'confirm') return 'nothing was removed: the run has to be confirmed'
  if (outcome === 'failed') return `failed${why}`
  if (restored !== undefined) return `restored ${restored} entries`
  return `done: removed ${removed ?? 0}${bytes === undefined ? '' : ` (${bytes} bytes)`}`
}

/** Why a tag or a manifest is kept or deleted. */
function describeReason(decision: Decision): string {
  switch (decision.kind) {
    case 'rule':
      return `the rule "${decision.rule}" matches it`
    case 'in-use':
      return 'a workload uses it'
    case 'pinned':
      return 'it is pinned'
    case 'leased':
      return `it was pushed or asked for within the grace period; then the rule "${decision.rule}" deletes it`
    case 'not-yet':
      return `the rule "${decision.rule}" deletes it from ${formatTime(decision.at)} on`
    case 'no-rule':
      return 'no rule matches it'
    case 'child-of':
      return `the index ${decision.of} contains it`
    case 'subject-of':
      return `${decision.of} refers to it`
    case 'referrer-of':
      return `it refers to ${decision.of}`
  }
}

export function describeRun({ run, at, entries, bytes }: TrashRun): string {
  return `${run}  ${formatTime(at)}  ${entries} entries  ${bytes} bytes`
}

export function describeVersion({ digest, at, current }: TagVersion): string {
  return `${current ? '*' : ' '} ${formatTime(at)}  ${digest}`
}

export function describeUndo(image: string, result: TagUndo): string {
  switch (result.kind) {
    case 'undone':
      return `${image} points to ${result.to} again`
    case 'no-version':
      return `${image} has no earlier version`
    case 'lost':
      return `${image} cannot point to ${result.to} again: ${result.missing.length} of its blobs, such as ${result.missing[0]}, have been deleted`
  }
}

export function describeExplanation(image: string, { decision, rules }: Explanation): string {
  const verb = decision.action === 'keep' ? 'is kept' : 'is deleted by the next run'
  const lines = rules.map(({ rule, action, at }) => {
    const when = at === undefined ? 'does not match' : `matches from ${formatTime(at)} on`
    return `  ${action.padEnd(6)} "${rule}": ${when}`
  })
  return [`${image} ${verb}: ${describeReason(decision)}`, ...lines].join('\n')
}
