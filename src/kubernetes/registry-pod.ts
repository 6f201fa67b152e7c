import { z } from 'zod'

export const registryLabel = 'berth.dev/registry'
const containerName = 'berth'

const waitingSchema = z.object({
  reason: z.string().optional(),
  message: z.string().optional(),
})
const containerStatus = z.object({
  name: z.string(),
  ready: z.boolean(),
  restartCount: z.number().default(0),
  state: z
    .object({ waiting: waitingSchema.optional(), terminated: waitingSchema.optional() })
    .default({}),
  lastState: z.object({ terminated: waitingSchema.optional() }).default({}),
})
/** What the API server says about it. */
export const registryPod = z.object({
  metadata: z.object({
    name: z.string(),
    namespace: z.string(),
    labels: z.record(z.string(), z.string()).default({}),
    annotations: z.record(z.string(), z.string()).default({}),
    deletionTimestamp: z.string().optional(),
  }),
  spec: z.object({
    nodeName: z.string().optional(),
    initContainers: z
      .array(z.object({ name: z.string(), restartPolicy: z.string().optional() }))
      .default([]),
    containers: z.array(
      z.object({
        name: z.string(),
        ports: z
          .array(
            z.object({
              name: z.string().optional(),
              containerPort: z.number(),
              hostPort: z.number().optional(),
            }),
          )
          .default([]),
      }),
    ),
  }),
  status: z.object({
    phase: z.string().optional(),
    conditions: z
      .array(
        z.object({
          type: z.string(),
          status: z.string(),
          reason: z.string().optional(),
          message: z.string().optional(),
        }),
      )
      .default([]),
    containerStatuses: z.array(containerStatus).default([]),
    initContainerStatuses: z.array(containerStatus).default([]),
  }),
})
export type Pod = z.output<typeof registryPod>

/** A pod of a registry, ready or not. */
export type RegistryPod = {
  readonly namespace: string
  readonly pod: string
  /** Namespace and release. */
  readonly release: string
  readonly node: string | undefined
  /** That of the registry. */
  readonly container: string
  /** What else runs in the pod. */
  readonly sidecars: readonly string[]
  /** Of a surrogate: the name of its Registry. */
  readonly registry: string | undefined
  readonly ready: boolean
  /** Why it is not ready, or restarts, as Kubernetes says. */
  readonly problems: readonly string[]
}

export function summaryOf(pod: Pod): RegistryPod {
  const { metadata, spec } = pod
  const container = containerOf(pod)?.name ?? containerName
  // A native sidecar is an init container that stays.
  const staying = spec.initContainers.filter(({ restartPolicy }) => restartPolicy === 'Always')
  return {
    namespace: metadata.namespace,
    pod: metadata.name,
    release: releaseOf(pod),
    node: spec.nodeName,
    container,
    sidecars: [...staying, ...spec.containers].flatMap(({ name }) =>
      name === container ? [] : [name],
    ),
    registry: registryOf(pod),
    ready: isReady(pod),
    problems: problemsOf(pod),
  }
}

function problemsOf({ metadata, spec, status }: Pod): readonly string[] {
  const say = (what: string, { reason, message }: z.output<typeof waitingSchema>) =>
    [what, reason, message].filter(Boolean).join(': ')
  // One that has ended as it should is no problem.
  const ended = spec.initContainers.flatMap(({ name, restartPolicy }) =>
    restartPolicy === 'Always' ? [] : [name],
  )
  const all = [...status.initContainerStatuses, ...status.containerStatuses]
  const containers = all.flatMap(({ name, ready, restartCount, state, lastState }) => {
    if (ready && ended.includes(name)) return []
    const trouble = state.waiting ?? state.terminated
    const restarts = restartCount === 0 ? '' : ` (${restartCount} restarts)`
    if (trouble !== undefined) return [say(`container ${name}${restarts}`, trouble)]
    if (!ready) return [`container ${name} is not ready${restarts}`]
    return restartCount > 0 && lastState.terminated !== undefined
      ? [say(`container ${name} ended before${restarts}`, lastState.terminated)]
      : []
  })
  const unscheduled = status.conditions
    .filter(({ type, status: value }) => type === 'PodScheduled' && value === 'False')
    .map((condition) => say('not scheduled', condition))
  const deleted = metadata.deletionTimestamp === undefined ? [] : ['it is being deleted']
  return [...deleted, ...unscheduled, ...containers]
}

export function registryOf({ metadata: { labels } }: Pod): string | undefined {
  return labels[registryLabel]
}

/** Of a surrogate: its Registry. */
export function releaseOf({ metadata: { namespace, labels } }: Pod): string {
  return [namespace, labels[registryLabel] ?? labels['app.kubernetes.io/instance'] ?? ''].join('/')
}

export function containerOf({ spec: { containers } }: Pod) {
  return containers.find(({ name }) => name === containerName) ?? containers[0]
}

export function isReady({ status }: Pod): boolean {
  return status.conditions.some(({ type, status: value }) => type === 'Ready' && value === 'True')
}
