import { z } from 'zod'
import { KubernetesError } from '../kubernetes/kubernetes.ts'
import { registryResource } from '../operator/operator.ts'
import type { ClusterObjects } from './cluster-objects.ts'
import { describePods, listPods, type PodSummary } from './pod-state.ts'
import { registryKind, registryReference, surrogatePods } from './registry-objects.ts'
import { type Waiting, waitUntil } from './rollout.ts'

export type Registry = z.output<typeof registryResource>
type Condition = NonNullable<Registry['status']['conditions']>[number]
/** Something that happened to an object. */
type ClusterEvent = z.output<typeof eventSchema>

/** A Registry, and what is known about it. */
export type RegistryDescription = {
  readonly registry: Registry
  readonly pods: readonly PodSummary[]
  readonly events: readonly ClusterEvent[]
}

const listSchema = z.array(registryResource)
const eventSchema = z.looseObject({
  type: z.string().default(''),
  reason: z.string().default(''),
  message: z.string().default(''),
  lastTimestamp: z.string().nullish(),
  eventTime: z.string().nullish(),
  involvedObject: z.object({ kind: z.string().default(''), name: z.string().default('') }),
})
/** In the order in which one depends on the other. */
const conditionTypes = ['Accepted', 'Deployed', 'Reachable', 'Authenticated']

/** Of one namespace; undefined: of all. @throws KubernetesError */
export async function listRegistries(
  cluster: Pick<ClusterObjects, 'list'>,
  namespace: string | undefined,
): Promise<readonly Registry[]> {
  const found = await cluster.list({ ...registryKind, namespace })
  if (found === undefined) throw notInstalled()
  return listSchema.parse(found)
}

/**
 * Those that the user may list: of one namespace; without it, of all, else of `others`. None, if the cluster does not
 * know Registries.
 */
export async function listVisibleRegistries(
  cluster: Pick<ClusterObjects, 'list'>,
  namespace: string | undefined,
  others: readonly string[],
): Promise<readonly Registry[]> {
  const listIn = async (place: string | undefined) => {
    try {
      return listSchema.parse((await cluster.list({ ...registryKind, namespace: place })) ?? [])
    } catch (error) {
      if (error instanceof KubernetesError && error.status === 403) return undefined
      throw error
    }
  }
  const found = await listIn(namespace)
  if (found !== undefined || namespace !== undefined) return found ?? []
  return (await Promise.all(others.map(listIn))).flatMap((some) => some ?? [])
}

/** @throws KubernetesError if there is none of this name. */
export async function getRegistry(
  cluster: Pick<ClusterObjects, 'get' | 'list'>,
  namespace: string,
  name: string,
): Promise<Registry> {
  const found = await cluster.get(registryReference(namespace, name))
  if (found !== undefined) return registryResource.parse(found)
  const others = (await listRegistries(cluster, namespace)).map(({ metadata }) => metadata.name)
  throw new KubernetesError(
    `there is no Registry ${name} in namespace ${namespace}${others.length === 0 ? '' : `; there are: ${others.join(', ')}`}`,
    { status: 404 },
  )
}

export async function describeRegistry(
  cluster: Pick<ClusterObjects, 'get' | 'list'>,
  namespace: string,
  name: string,
): Promise<RegistryDescription> {
  const registry = await getRegistry(cluster, namespace, name)
  const pods = await listPods(cluster, { namespace, labels: surrogatePods(name) })
  const names = new Set([name, registry.status.surrogate, ...pods.map((pod) => pod.name)])
  return { registry, pods, events: await eventsOf(cluster, namespace, names) }
}

/** Waits until a Registry is ready. @throws KubernetesError after the timeout, with what it waited for. */
export function waitForRegistry(
  cluster: Pick<ClusterObjects, 'get' | 'list'>,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  waiting: Waiting,
): Promise<void> {
  return waitUntil(`Registry ${name} in namespace ${namespace}`, waiting, async () => {
    const registry = await getRegistry(cluster, namespace, name)
    const missing = whatIsMissing(registry)
    if (missing?.type !== 'Deployed') return missing?.text
    const pods = await describePods(cluster, { namespace, labels: surrogatePods(name) })
    return pods ?? missing.text
  })
}

/** A status is about the spec only if it has its generation. */
export function conditionOf({ metadata, status }: Registry, type: string): Condition | undefined {
  const found = status.conditions?.find((condition) => condition.type === type)
  const generation = found?.observedGeneration ?? status.observedGeneration ?? 0
  return generation >= metadata.generation ? found : undefined
}

function whatIsMissing(registry: Registry): { type: string; text: string } | undefined {
  if (conditionOf(registry, 'Ready')?.status === 'True') return undefined
  for (const type of conditionTypes) {
    const condition = conditionOf(registry, type)
    if (condition?.status === 'True') continue
    if (condition === undefined) break
    return { type, text: `${type} is ${condition.status}: ${condition.message}` }
  }
  return {
    type: 'Ready',
    text: 'no operator has written its status yet; is one installed for this namespace (kubectl berth operator install)',
  }
}

/** Who may not read events goes without. */
async function eventsOf(
  cluster: Pick<ClusterObjects, 'list'>,
  namespace: string,
  names: ReadonlySet<string | undefined>,
): Promise<readonly ClusterEvent[]> {
  const found = await cluster
    .list({ apiVersion: 'v1', kind: 'Event', namespace })
    .catch((error: unknown) => {
      if (error instanceof KubernetesError && error.status === 403) return []
      throw error
    })
  const events = z.array(eventSchema).parse(found ?? [])
  return events.filter(({ involvedObject }) => names.has(involvedObject.name))
}

function notInstalled(): KubernetesError {
  return new KubernetesError(
    'the cluster has no Registries (berth.dev/v1alpha1): install the operator first (kubectl berth operator install)',
    { status: 404 },
  )
}
