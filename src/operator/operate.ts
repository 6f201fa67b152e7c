import { z } from 'zod'
import {
  type ApiClient,
  createObjectReflector,
  type ListedObject,
} from '../kubernetes/kubernetes.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { createEvents } from './events.ts'
import { createReconcile, type Reconciling, type SurrogateReport } from './reconcile.ts'
import { type Registry, registryResource } from './registry-resource.ts'
import {
  managedSelector,
  registryLabel,
  type SurrogateOptions,
  surrogateSelector,
} from './surrogate-deployment.ts'
import { type SurrogatePod, surrogatePod } from './surrogate-pod.ts'
import { createWorkQueue } from './work-queue.ts'

export interface Operator {
  /** Why it does not see what it works on, if so. */
  problem(): string | undefined
  close(): Promise<void>
}

type OperatorOptions = SurrogateOptions & {
  readonly client: ApiClient
  /** The only namespace; undefined: all. */
  readonly namespace: string | undefined
  /** What the surrogate at this address of a pod says about its registry. */
  readonly readReport: (podAddress: string) => Promise<SurrogateReport>
  readonly telemetry: Telemetry
  /** Milliseconds between two looks at a Registry; default: 20 s. */
  readonly interval?: number
}

const owned = z.looseObject({
  metadata: z.object({
    namespace: z.string(),
    labels: z.record(z.string(), z.string()).default({}),
  }),
})

/**
 * Keeps a surrogate beside each Registry, and writes what it finds into the status.
 *
 * 1. Watch Registries, and the Deployments and Pods of surrogates. Each change leads to a turn of its Registry; besides, each
 *    Registry has a turn in each interval, because what a registry answers is no object of the cluster.
 * 2. In a turn, apply the Deployment that follows from the spec, whatever is there, ask the surrogate, and
 *    write the status if it has changed.
 *
 * A Registry that is gone needs no turn: it owns its Deployment, which Kubernetes deletes.
 */
export function startOperator(options: OperatorOptions): Operator {
  const { client, namespace, telemetry, interval = 20_000 } = options
  const { log, metrics } = telemetry
  const place = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`

  const queue = createWorkQueue({
    work: async (key) => {
      const next = await reconcile(key)
      metrics.operatorReconciliations.inc({ result: 'success' })
      return next
    },
    onError: (key, err) => {
      metrics.operatorReconciliations.inc({ result: 'error' })
      log.warn({ registry: key, err }, 'cannot reconcile a Registry; trying again')
    },
  })

  const registries = createObjectReflector({
    client,
    log,
    path: `/apis/berth.dev/v1alpha1${place}/registries`,
    keep: (object) => readRegistry(object, log),
    onChange: (registry) => {
      if (registry !== undefined) queue.add(keyOf(registry.metadata))
    },
  })
  const pods = createObjectReflector({
    client,
    log,
    path: `/api/v1${place}/pods`,
    selector: surrogateSelector,
    keep: (object) => surrogatePod.safeParse(object).data,
    onChange: (pod) => addOwner(pod),
  })
  const deployments = createObjectReflector({
    client,
    log,
    path: `/apis/apps/v1${place}/deployments`,
    selector: managedSelector,
    keep: (object) => owned.safeParse(object).data,
    onChange: (deployment) => addOwner(deployment),
  })

  const addOwner = (object: z.output<typeof owned> | undefined): void => {
    const name = object?.metadata.labels[registryLabel]
    if (object !== undefined && name !== undefined)
      queue.add(keyOf({ namespace: object.metadata.namespace, name }))
  }

  const events = createEvents({ client, log })
  const parts: Reconciling = {
    ...options,
    events,
    interval,
    find: (key) => find(registries.values(), ({ metadata }) => keyOf(metadata) === key),
    podsOf: ({ metadata }) => [...podsIn(pods.values(), metadata)],
  }
  const reconcile = createReconcile(parts)

  metrics.onScrape(() => {
    const counts = { True: 0, False: 0 }
    for (const registry of registries.values())
      if (registry !== undefined) counts[isReady(registry) ? 'True' : 'False'] += 1
    for (const [ready, count] of Object.entries(counts))
      metrics.operatorRegistries.set({ ready: ready.toLowerCase() }, count)
  })

  const all = [registries, pods, deployments]
  return {
    problem: () => all.map(({ problem }) => problem()).find((text) => text !== undefined),
    close: async () => {
      await Promise.all(all.map((each) => each.close()))
      await queue.close()
    },
  }
}

function keyOf({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${namespace}/${name}`
}

function find(
  registries: Iterable<Registry | undefined>,
  isWanted: (registry: Registry) => boolean,
): Registry | undefined {
  for (const registry of registries)
    if (registry !== undefined && isWanted(registry)) return registry
  return undefined
}

function* podsIn(
  pods: Iterable<SurrogatePod | undefined>,
  { namespace, name }: Registry['metadata'],
): Generator<SurrogatePod> {
  for (const pod of pods)
    if (pod?.metadata.namespace === namespace && pod.metadata.labels[registryLabel] === name)
      yield pod
}

/** A newer operator may have written another version of the resource: it stays as it is. */
function readRegistry(object: ListedObject, log: Telemetry['log']): Registry | undefined {
  const { data, error } = registryResource.safeParse(object)
  if (error !== undefined) {
    const { namespace, name } = object.metadata
    log.warn({ registry: `${namespace}/${name}`, err: error }, 'a Registry cannot be read')
  }
  return data
}

function isReady({ status }: Registry): boolean {
  return (
    status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false
  )
}
