import type { Place, Refusal } from './place.ts'
import type { Registry } from './registry-resource.ts'

export type Finding = {
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: string
  readonly message: string
}

/** What is known about a Registry at the moment. */
export type Findings = {
  readonly accepted: Finding
  readonly deployed: Finding
  readonly reachable: Finding
  readonly authenticated: Finding
}

type Status = Registry['status']
type Condition = NonNullable<Status['conditions']>[number]

/** From the first requirement to the last. */
const types = [
  ['Accepted', 'accepted'],
  ['Deployed', 'deployed'],
  ['Reachable', 'reachable'],
  ['Authenticated', 'authenticated'],
] as const

export const accepted: Finding = {
  status: 'True',
  reason: 'Valid',
  message: 'the spec can be used',
}

/** Of conditions that follow from one that is not True. */
export function notKnown(because: string): Finding {
  return { status: 'Unknown', reason: 'NotKnown', message: because }
}

export function refused({ reason, message }: Refusal): Findings {
  const unknown = notKnown('the spec cannot be used: see the condition Accepted')
  return {
    accepted: { status: 'False', reason, message },
    deployed: unknown,
    reachable: unknown,
    authenticated: unknown,
  }
}

type StatusOptions = {
  readonly registry: Pick<Registry, 'metadata' | 'status'>
  readonly findings: Findings
  readonly place: Place | undefined
  readonly surrogate: string
  readonly now: Date
}

/** The status that a Registry should have. A condition keeps its time until its status changes. */
export function statusOf({ registry, findings, place, surrogate, now }: StatusOptions): Status {
  const { generation: observedGeneration } = registry.metadata
  const before = registry.status.conditions ?? []
  const conditions = [...types.map(([type, key]) => ({ type, ...findings[key] })), ready(findings)]
  return {
    observedGeneration,
    ...(place !== undefined && { host: place.host, url: place.url }),
    surrogate,
    conditions: conditions.map((finding): Condition => {
      const earlier = before.find(({ type }) => type === finding.type)
      const isSame = earlier?.status === finding.status
      return {
        type: finding.type,
        status: finding.status,
        observedGeneration,
        lastTransitionTime: isSame ? earlier.lastTransitionTime : timeOf(now),
        reason: finding.reason,
        message: finding.message,
      }
    }),
  }
}

/** The first condition that is not True says why the Registry is not ready. */
function ready(findings: Findings) {
  const missing = types.map(([, key]) => findings[key]).find(({ status }) => status !== 'True')
  if (missing === undefined)
    return {
      type: 'Ready',
      status: 'True',
      reason: 'Ready',
      message: 'images can be pushed and pulled through the surrogate',
    } as const
  return { ...missing, type: 'Ready', status: 'False' } as const
}

/** As Kubernetes writes times: seconds, in UTC. */
function timeOf(now: Date): string {
  return now.toISOString().replace(/\.\d+Z$/, 'Z')
}
