import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { KubernetesError } from '../kubernetes/kubernetes.ts'
import type { ClusterObjects } from './cluster-objects.ts'
import { describeReference, type ObjectReference } from './objects.ts'
import { describePods } from './pod-state.ts'

export type Waiting = {
  /** Milliseconds. */
  readonly timeout: number
  /** What it waits for, each time that it is something else. */
  readonly onState: (state: string) => void
  readonly signal: AbortSignal
}

const interval = 1000

const deploymentSchema = z.looseObject({
  metadata: z.object({ generation: z.number().default(0) }),
  spec: z.object({
    replicas: z.number().default(1),
    selector: z.object({ matchLabels: z.record(z.string(), z.string()) }),
  }),
  status: z
    .object({
      observedGeneration: z.number().default(0),
      replicas: z.number().default(0),
      updatedReplicas: z.number().default(0),
      availableReplicas: z.number().default(0),
      conditions: z
        .array(z.object({ type: z.string(), status: z.string(), message: z.string().default('') }))
        .default([]),
    })
    .prefault({}),
})
type Deployment = z.output<typeof deploymentSchema>

/**
 * Waits until all pods of a Deployment are its newest and ready.
 * @throws KubernetesError after the timeout, with what it waited for.
 */
export function waitForDeployment(
  cluster: Pick<ClusterObjects, 'get' | 'list'>,
  reference: ObjectReference,
  waiting: Waiting,
): Promise<void> {
  const what = describeReference(reference)
  return waitUntil(what, waiting, async () => {
    const found = await cluster.get(reference)
    if (found === undefined) return `${what} does not exist`
    const deployment = deploymentSchema.parse(found)
    const state = stateOf(deployment)
    if (state === undefined) return undefined
    const labels = deployment.spec.selector.matchLabels
    const pods = await describePods(cluster, { namespace: reference.metadata.namespace, labels })
    return pods ?? state
  })
}

/**
 * Asks again and again, until `check` has nothing that it waits for.
 * @throws KubernetesError after the timeout, with what it waited for.
 */
export async function waitUntil(
  what: string,
  { timeout, onState, signal }: Waiting,
  check: () => Promise<string | undefined>,
): Promise<void> {
  const deadline = performance.now() + timeout
  let last: string | undefined
  for (;;) {
    const state = await check()
    if (state === undefined) return
    if (state !== last) onState(state)
    last = state
    if (performance.now() >= deadline)
      throw new KubernetesError(
        `${what} is not ready after ${Math.round(timeout / 1000)} s: ${state}. It is still being tried; wait longer with --timeout, or see kubectl describe`,
      )
    await sleep(interval, undefined, { signal })
  }
}

/** What is missing; undefined: nothing. */
function stateOf({ metadata, spec, status }: Deployment): string | undefined {
  const failure = status.conditions.find(
    (one) => one.type === 'ReplicaFailure' && one.status === 'True',
  )
  if (failure !== undefined) return `no pod can be created: ${failure.message}`
  if (status.observedGeneration < metadata.generation) return 'the change is not observed yet'
  const { replicas } = spec
  if (status.updatedReplicas < replicas) return 'a new pod is created'
  if (status.replicas > status.updatedReplicas) return 'an old pod ends'
  if (status.availableReplicas < replicas) return 'a pod is not ready'
  return undefined
}
