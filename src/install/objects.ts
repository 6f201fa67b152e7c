import { z } from 'zod'

/** An object of Kubernetes, with whatever fields its kind has. */
export type KubernetesObject = z.output<typeof objectSchema>

/** Which object. */
export type ObjectReference = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string | undefined }
}

export const objectSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().optional(),
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
  }),
})

/** In `apiVersion` and `kind`, of which an answer of a list has none. */
type Kind = Pick<ObjectReference, 'apiVersion' | 'kind'>

type Resource = { readonly plural: string; readonly isClusterWide?: true }

/** All kinds that are installed, found or removed. */
const resources: Readonly<Record<string, Resource>> = {
  Namespace: { plural: 'namespaces', isClusterWide: true },
  ServiceAccount: { plural: 'serviceaccounts' },
  Secret: { plural: 'secrets' },
  ConfigMap: { plural: 'configmaps' },
  Service: { plural: 'services' },
  PersistentVolumeClaim: { plural: 'persistentvolumeclaims' },
  Pod: { plural: 'pods' },
  Event: { plural: 'events' },
  Deployment: { plural: 'deployments' },
  NetworkPolicy: { plural: 'networkpolicies' },
  PodDisruptionBudget: { plural: 'poddisruptionbudgets' },
  Role: { plural: 'roles' },
  RoleBinding: { plural: 'rolebindings' },
  ClusterRole: { plural: 'clusterroles', isClusterWide: true },
  ClusterRoleBinding: { plural: 'clusterrolebindings', isClusterWide: true },
  CustomResourceDefinition: { plural: 'customresourcedefinitions', isClusterWide: true },
  Issuer: { plural: 'issuers' },
  Certificate: { plural: 'certificates' },
  Registry: { plural: 'registries' },
}

/** The path of all objects of a kind, in one namespace or in all. */
export function collectionPath({ apiVersion, kind }: Kind, namespace?: string): string {
  const { plural, isClusterWide } = resourceOf(kind)
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  const isNamed = namespace !== undefined && isClusterWide !== true
  return `${root}${isNamed ? `/namespaces/${encodeURIComponent(namespace)}` : ''}/${plural}`
}

export function objectPath({ metadata, ...kind }: ObjectReference): string {
  const { name, namespace } = metadata
  return `${collectionPath(kind, namespace)}/${encodeURIComponent(name)}`
}

/** For messages: `Deployment berth in namespace images`. */
export function describeReference({ kind, metadata }: ObjectReference): string {
  const { name, namespace } = metadata
  return `${kind} ${name}${namespace === undefined ? '' : ` in namespace ${namespace}`}`
}

/** The resource as roles name it: `deployments.apps`. */
export function resourceName({ apiVersion, kind }: Kind): string {
  const [group = '', version] = apiVersion.split('/')
  return [resourceOf(kind).plural, ...(version === undefined ? [] : [group])].join('.')
}

function resourceOf(kind: string): Resource {
  const resource = resources[kind]
  if (resource === undefined) throw new Error(`the kind ${kind} has no entry in the table`)
  return resource
}
