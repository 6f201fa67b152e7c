import { z } from 'zod'
import type { ClusterObjects } from './cluster-objects.ts'

type Pods = {
  readonly namespace: string | undefined
  readonly labels: Readonly<Record<string, string>>
}

const waitingSchema = z.object({ reason: z.string().default(''), message: z.string().default('') })
const containerSchema = z.object({
  name: z.string(),
  ready: z.boolean().default(false),
  restartCount: z.number().default(0),
  state: z.object({ waiting: waitingSchema.optional() }).default({}),
  lastState: z
    .object({
      terminated: z.object({ exitCode: z.number(), reason: z.string().default('') }).optional(),
    })
    .default({}),
})
const podSchema = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    creationTimestamp: z.string().default(''),
    deletionTimestamp: z.string().optional(),
  }),
  spec: z.looseObject({ nodeName: z.string().optional() }).prefault({}),
  status: z
    .object({
      phase: z.string().default('Unknown'),
      conditions: z
        .array(z.object({ type: z.string(), status: z.string(), message: z.string().default('') }))
        .default([]),
      initContainerStatuses: z.array(containerSchema).default([]),
      containerStatuses: z.array(containerSchema).default([]),
    })
    .prefault({}),
})
type Pod = z.output<typeof podSchema>

const eventSchema = z.looseObject({ type: z.string().default(''), message: z.string().default('') })

/** A pod, and what it waits for. */
export type PodSummary = {
  readonly name: string
  readonly phase: string
  /** Undefined: it is not on a node yet. */
  readonly node: string | undefined
  readonly restarts: number
  /** Undefined: it is ready. */
  readonly trouble: string | undefined
}

export async function listPods(
  cluster: Pick<ClusterObjects, 'list'>,
  { namespace, labels }: Pods,
): Promise<readonly PodSummary[]> {
  const found = await cluster.list({ apiVersion: 'v1', kind: 'Pod', namespace, labels })
  return z
    .array(podSchema)
    .parse(found ?? [])
    .map((pod) => ({
      name: pod.metadata.name,
      phase: pod.metadata.deletionTimestamp === undefined ? pod.status.phase : 'Terminating',
      node: pod.spec.nodeName,
      restarts: pod.status.containerStatuses.reduce((sum, one) => sum + one.restartCount, 0),
      trouble: troubleOf(pod)?.text,
    }))
}

/** What the newest of some pods waits for, in one line; undefined: there is none, or it waits for nothing. */
export async function describePods(
  cluster: Pick<ClusterObjects, 'list'>,
  { namespace, labels }: Pods,
): Promise<string | undefined> {
  const found = await cluster.list({ apiVersion: 'v1', kind: 'Pod', namespace, labels })
  const pods = z.array(podSchema).parse(found ?? [])
  const running = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
  const [newest] = running.toSorted((one, other) =>
    other.metadata.creationTimestamp.localeCompare(one.metadata.creationTimestamp),
  )
  if (newest === undefined) return pods.length > 0 ? 'an old pod ends' : undefined
  const trouble = troubleOf(newest)
  if (trouble === undefined) return undefined
  const { name } = newest.metadata
  // Of a volume that cannot be mounted, only an event tells.
  const warning = trouble.isStarting ? await lastWarning(cluster, name, namespace) : undefined
  return `pod ${name}: ${warning ?? trouble.text}`
}

function troubleOf({ status }: Pod): { text: string; isStarting: boolean } | undefined {
  const unscheduled = status.conditions.find(
    ({ type, status: value }) => type === 'PodScheduled' && value === 'False',
  )
  if (unscheduled !== undefined)
    return { text: `it is not scheduled to a node: ${unscheduled.message}`, isStarting: false }
  const containers = [...status.initContainerStatuses, ...status.containerStatuses]
  for (const { name, state, lastState } of containers) {
    const { waiting } = state
    if (waiting === undefined) continue
    const isStarting =
      waiting.reason === 'ContainerCreating' || waiting.reason === 'PodInitializing'
    const ended = lastState.terminated
    const why =
      ended === undefined ? waiting.message : `it ended with exit status ${ended.exitCode}`
    const text = [`container ${name}: ${waiting.reason || 'waiting'}`, why]
      .filter(Boolean)
      .join(': ')
    return { text, isStarting }
  }
  if (containers.length === 0) return { text: status.phase, isStarting: true }
  const unready = containers.find(({ ready }) => !ready)
  return unready && { text: `container ${unready.name} runs and is not ready`, isStarting: false }
}

/** Who may not read events goes without. */
async function lastWarning(
  cluster: Pick<ClusterObjects, 'list'>,
  name: string,
  namespace: string | undefined,
): Promise<string | undefined> {
  const fields = { 'involvedObject.name': name, type: 'Warning' }
  const events = await cluster
    .list({ apiVersion: 'v1', kind: 'Event', namespace, fields })
    .catch(() => undefined)
  return z
    .array(eventSchema)
    .parse(events ?? [])
    .at(-1)?.message
}
