import { z } from 'zod'
import type { PodContainer } from './exec.ts'
import type { UserAccess } from './kubeconfig.ts'
import { KubernetesError } from './kubernetes-error.ts'
import { nodePortOf } from './node-port.ts'
import {
  containerOf,
  isReady,
  type Pod,
  type RegistryPod,
  registryLabel,
  registryOf,
  registryPod,
  releaseOf,
  summaryOf,
} from './registry-pod.ts'
import { getObject } from './user-api.ts'

export type FindOptions = {
  /** Only there. */
  readonly namespace?: string | undefined
  /** Name of a Registry resource. */
  readonly registry?: string | undefined
  /** Labels of the registry's pods. */
  readonly selector?: string | undefined
  /** A pod that is taken if it still runs. */
  readonly preferred?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** A pod of a registry, and how nodes name the registry. */
export type FoundRegistry = PodContainer & {
  /** Where the registry listens in its pod. */
  readonly port: number
  /** Such as `localhost:30026`. */
  readonly host: string
  /** Prefixes of its hosted repositories; an empty one: all. Berth itself knows better than its pod. */
  readonly hosted: readonly string[]
}

/** Of the chart. */
const chartSelector = 'app.kubernetes.io/name=berth,app.kubernetes.io/component=registry'
/** Of the pods through which Registry resources are reached (src/operator). */
const surrogateSelector = 'app.kubernetes.io/name=berth,app.kubernetes.io/component=surrogate'
const hostAnnotation = 'berth.dev/host'
const prefixAnnotation = 'berth.dev/prefix'
const defaultPort = 30026
const defaultPrefix = 'local'

const podsSchema = z.object({ items: z.array(registryPod) })

const hostingSchema = z.object({ data: z.record(z.string(), z.string()).default({}) })

/**
 * All pods of the registries that {@link findRegistry} would find.
 * @throws KubernetesError if there are none.
 */
export async function listRegistryPods(
  access: UserAccess,
  options: FindOptions,
): Promise<readonly RegistryPod[]> {
  const { pods } = await findPods(access, options)
  return pods.map(summaryOf)
}

/**
 * Finds a ready pod of a registry, by the labels of the chart: in the namespace that is named; else in the
 * context's, in the one that the KEP-1755 ConfigMap names, and in all that the user may list. If Berth is nowhere, the
 * surrogate of the only Registry resource there.
 * @throws KubernetesError if there is none, or registries of several releases.
 */
export async function findRegistry(
  access: UserAccess,
  options: FindOptions,
): Promise<FoundRegistry> {
  const found = await findPods(access, options)
  const pod = choose(found.pods, options)
  const host = pod.metadata.annotations[hostAnnotation] ?? found.host
  if (host !== undefined) return describe(pod, host)
  const port = await nodePortOf(access, pod, options.signal)
  return describe(pod, `localhost:${port ?? defaultPort}`)
}

type FoundPods = { readonly pods: readonly Pod[]; readonly host: string | undefined }

/** Of the first place that has any. */
async function findPods(access: UserAccess, options: FindOptions): Promise<FoundPods> {
  const hosting = await readHosting(access, options)
  const places = placesToSearch(access, options, hosting?.namespace)
  const refusals: KubernetesError[] = []
  for (const selector of selectorsOf(options))
    for (const namespace of places) {
      const where = { ...options, selector, namespace }
      const pods = await listPods(access, where).catch((error: unknown) => {
        if (!(error instanceof KubernetesError) || error.status !== 403) throw error
        refusals.push(error)
        return []
      })
      if (pods.length > 0) return { pods, host: hosting?.host }
    }
  throw notFound(places, options, refusals)
}

/** In the order in which they count. */
function selectorsOf({ registry, selector }: FindOptions): readonly string[] {
  if (registry !== undefined) return [`${surrogateSelector},${registryLabel}=${registry}`]
  return selector === undefined ? [chartSelector, surrogateSelector] : [selector]
}

function placesToSearch(
  access: UserAccess,
  { namespace }: FindOptions,
  hinted: string | undefined,
): readonly (string | undefined)[] {
  if (namespace !== undefined) return [namespace]
  const named = [access.namespace ?? 'default', hinted].filter((one) => one !== undefined)
  // Undefined: all namespaces.
  return [...new Set(named), undefined]
}

async function listPods(
  access: UserAccess,
  { namespace, selector, signal }: FindOptions & { readonly selector: string },
): Promise<readonly Pod[]> {
  const where = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`
  const query = new URLSearchParams({ labelSelector: selector })
  const path = `/api/v1${where}/pods?${query}`
  return podsSchema.parse(await getObject(access, path, signal)).items
}

/** @throws KubernetesError */
function choose(pods: readonly Pod[], { preferred }: FindOptions): Pod {
  const releases = new Set(pods.map(releaseOf))
  if (releases.size > 1)
    throw several(
      [...releases],
      pods.some((pod) => registryOf(pod) !== undefined),
    )
  const running = pods.filter((pod) => pod.metadata.deletionTimestamp === undefined)
  const earlier = running.find(({ metadata: { name } }) => name === preferred)
  const ready = earlier ?? running.find(isReady)
  if (ready !== undefined) return ready
  const [{ metadata } = { metadata: { namespace: '', name: '' } }] = pods
  throw new KubernetesError(
    `no pod of the registry is ready; see kubectl describe pod --namespace ${metadata.namespace} ${metadata.name}`,
    { isTemporary: true },
  )
}

function several(releases: readonly string[], areSurrogates: boolean): KubernetesError {
  const choice = areSurrogates
    ? '--registry NAME and --namespace'
    : '--namespace, or with --selector app.kubernetes.io/instance=RELEASE,app.kubernetes.io/component=registry'
  return new KubernetesError(
    `there are several registries: ${releases.join(', ')}; choose one with ${choice}`,
  )
}

function describe(found: Pod, host: string): FoundRegistry {
  const { metadata } = found
  const container = containerOf(found)
  const port = container?.ports.find(({ name }) => name === 'registry')?.containerPort
  return {
    namespace: metadata.namespace,
    pod: metadata.name,
    container: container?.name ?? 'berth',
    port: port ?? defaultPort,
    host,
    hosted: [metadata.annotations[prefixAnnotation] ?? defaultPrefix],
  }
}

/** What the cluster says about its local registry (KEP-1755). Users without the right to read it go without. */
async function readHosting(access: UserAccess, { signal }: FindOptions) {
  const path = '/api/v1/namespaces/kube-public/configmaps/local-registry-hosting'
  const found = await getObject(access, path, signal).catch((error: unknown) => {
    if (error instanceof KubernetesError && error.status !== undefined) return undefined
    throw error
  })
  if (found === undefined) return undefined
  const text = hostingSchema.parse(found).data['localRegistryHosting.v1'] ?? ''
  const field = (name: string) =>
    new RegExp(`^${name}: *"?([^"\\s]+)"?`, 'm').exec(text)?.[1] ?? undefined
  const [, namespace] = field('hostFromClusterNetwork')?.split(/[.:]/) ?? []
  return { host: field('host'), namespace }
}

function notFound(
  places: readonly (string | undefined)[],
  options: FindOptions,
  refusals: readonly KubernetesError[],
): KubernetesError {
  const named = places.map((place) => place ?? 'all namespaces').join(', ')
  const [refusal] = refusals
  const why = refusal === undefined ? '' : `; ${refusal.message}`
  const { registry } = options
  const what =
    registry === undefined
      ? `registry (pods with ${selectorsOf(options).join(', or ')})`
      : `surrogate of a Registry ${registry}, which berth operator starts (see kubectl get registries -A)`
  return new KubernetesError(
    `found no ${what} in: ${named}${why}. Name its namespace with --namespace`,
    { status: refusal?.status },
  )
}
