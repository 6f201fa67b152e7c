import { z } from 'zod'
import type { Finding } from './status.ts'
import { configLabel } from './surrogate-deployment.ts'

/** Of a surrogate's pod, what the operator keeps in memory. */
export const surrogatePod = z.object({
  metadata: z.object({
    name: z.string(),
    namespace: z.string(),
    labels: z.record(z.string(), z.string()).default({}),
    deletionTimestamp: z.string().optional(),
    creationTimestamp: z.string().default(''),
  }),
  status: z
    .object({
      podIP: z.string().optional(),
      conditions: z
        .array(z.object({ type: z.string(), status: z.string(), message: z.string().optional() }))
        .default([]),
      containerStatuses: statuses(),
      initContainerStatuses: statuses(),
    })
    .default({ conditions: [], containerStatuses: [], initContainerStatuses: [] }),
})
export type SurrogatePod = z.output<typeof surrogatePod>

function statuses() {
  const reason = z.object({ reason: z.string().optional(), message: z.string().optional() })
  const state = z.object({ waiting: reason.optional() }).default({})
  return z.array(z.object({ name: z.string(), state })).default([])
}

/** Reasons of a container that will not start by itself. */
const lasting = /BackOff|ErrImage|InvalidImageName|CreateContainer|RunContainerError/

/** The pod with the present configuration, and whether it runs. */
export function findPod(
  pods: readonly SurrogatePod[],
  config: string,
): { readonly pod: SurrogatePod | undefined; readonly deployed: Finding } {
  const current = pods
    .filter(({ metadata: { labels, deletionTimestamp } }) => {
      return labels[configLabel] === config && deletionTimestamp === undefined
    })
    .toSorted((a, b) => b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp))
  const ready = current.find(isReady)
  if (ready !== undefined)
    return {
      pod: ready,
      deployed: {
        status: 'True',
        reason: 'Running',
        message: `the pod ${ready.metadata.name} runs`,
      },
    }
  const [newest] = current
  return {
    pod: undefined,
    deployed: newest === undefined ? starting('has no pod yet') : whyNot(newest),
  }
}

function isReady({ status }: SurrogatePod): boolean {
  return status.conditions.some(({ type, status: value }) => type === 'Ready' && value === 'True')
}

function whyNot({ metadata, status }: SurrogatePod): Finding {
  const { name, namespace } = metadata
  const see = `see kubectl describe pod --namespace ${namespace} ${name}`
  const unscheduled = status.conditions.find(
    ({ type, status: value }) => type === 'PodScheduled' && value === 'False',
  )
  if (unscheduled !== undefined)
    return failed('Unschedulable', `no node takes the pod ${name}: ${unscheduled.message}; ${see}`)
  const containers = [...status.initContainerStatuses, ...status.containerStatuses]
  const stuck = containers.find(({ state }) => lasting.test(state.waiting?.reason ?? ''))
  const { reason = '', message = '' } = stuck?.state.waiting ?? {}
  if (stuck !== undefined)
    return failed(
      reason,
      `the container ${stuck.name} of the pod ${name} does not start: ${message}; ${see}`,
    )
  return starting(`starts (pod ${name})`)
}

function starting(what: string): Finding {
  return failed('Starting', `the surrogate ${what}`)
}

function failed(reason: string, message: string): Finding {
  return { status: 'False', reason, message }
}
