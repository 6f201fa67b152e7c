import { leaseRules, registryDefinition, registryRules } from '../operator/operator.ts'
import { type KubernetesObject, type ObjectReference, objectSchema } from './objects.ts'
import { pullPolicyFor } from './pull-policy.ts'
import { manager, managerLabel } from './remove-all.ts'

export type OperatorChoices = {
  readonly image: string
  /** Of all namespaces, or of its own. */
  readonly scope: 'cluster' | 'namespace'
  /** A ClusterRole that exists, in place of one that is made. */
  readonly role?: string | undefined
  /** Of which a Lease chooses one; default: 1. */
  readonly replicas?: number | undefined
  /** Where an administrator has applied the definition of Registry. */
  readonly withoutDefinition?: boolean | undefined
}

const rbac = 'rbac.authorization.k8s.io/v1'
const name = 'berth-operator'
const adminPort = 9026

export const operatorPods = {
  'app.kubernetes.io/name': 'berth',
  'app.kubernetes.io/component': 'operator',
} as const

export const operatorDeployment = (namespace: string): ObjectReference => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace },
})

export const definitionReference: ObjectReference = {
  apiVersion: registryDefinition.apiVersion,
  kind: registryDefinition.kind,
  metadata: { name: registryDefinition.metadata.name },
}

/** In the order of their creation. */
export function operatorObjects(
  namespace: string,
  choices: OperatorChoices,
): readonly KubernetesObject[] {
  const { withoutDefinition = false } = choices
  const account = { kind: 'ServiceAccount', name, namespace }
  const lease = 'berth-operator-lease'
  const objects: readonly object[] = [
    ...(withoutDefinition ? [] : [registryDefinition]),
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } },
    { apiVersion: rbac, kind: 'Role', metadata: { name: lease, namespace }, rules: leaseRules },
    binding({ kind: 'Role', name: lease }, { name: lease, namespace }, account),
    ...rightsOf(namespace, choices, account),
    deployment(namespace, choices),
  ]
  return objects.map((object) => labelled(objectSchema.parse(object)))
}

/** All that may be there, whatever was chosen; the workload first. The definition is not among it. */
export function operatorReferences(namespace: string): readonly ObjectReference[] {
  const all = (['cluster', 'namespace'] as const).flatMap((scope) =>
    operatorObjects(namespace, { image: '', scope, withoutDefinition: true }),
  )
  return all.toReversed()
}

type Account = { readonly kind: string; readonly name: string; readonly namespace: string }
type RoleReference = { readonly kind: 'Role' | 'ClusterRole'; readonly name: string }

function rightsOf(
  namespace: string,
  { scope, role }: OperatorChoices,
  account: Account,
): readonly object[] {
  const isClusterWide = scope === 'cluster'
  // Another operator may work in another namespace.
  const metadata = isClusterWide ? { name: `${namespace}-${name}` } : { name, namespace }
  const kind = isClusterWide ? 'ClusterRole' : 'Role'
  if (role !== undefined) return [binding({ kind: 'ClusterRole', name: role }, metadata, account)]
  return [
    { apiVersion: rbac, kind, metadata, rules: registryRules },
    binding({ kind, name: metadata.name }, metadata, account),
  ]
}

function binding(
  role: RoleReference,
  metadata: ObjectReference['metadata'],
  account: Account,
): object {
  return {
    apiVersion: rbac,
    kind: metadata.namespace === undefined ? 'ClusterRoleBinding' : 'RoleBinding',
    metadata,
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', ...role },
    subjects: [account],
  }
}

function deployment(namespace: string, { image, scope, replicas = 1 }: OperatorChoices): object {
  const only = scope === 'namespace' ? ['--namespace', namespace] : []
  return {
    ...operatorDeployment(namespace),
    spec: {
      replicas,
      selector: { matchLabels: operatorPods },
      template: {
        metadata: { labels: operatorPods },
        spec: {
          serviceAccountName: name,
          enableServiceLinks: false,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: 65532,
            runAsGroup: 65532,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          containers: [container(image, ['operator', 'run', ...only])],
        },
      },
    },
  }
}

function container(image: string, args: readonly string[]): object {
  const probe = (path: string) => ({ httpGet: { path, port: 'admin' }, timeoutSeconds: 3 })
  return {
    name: 'operator',
    image,
    imagePullPolicy: pullPolicyFor(image),
    args,
    ports: [{ name: 'admin', containerPort: adminPort }],
    livenessProbe: { ...probe('/livez'), periodSeconds: 15, failureThreshold: 4 },
    readinessProbe: { ...probe('/readyz'), periodSeconds: 5 },
    startupProbe: { ...probe('/livez'), periodSeconds: 1, failureThreshold: 60 },
    resources: { requests: { cpu: '10m', memory: '64Mi' }, limits: { memory: '256Mi' } },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
  }
}

function labelled(object: KubernetesObject): KubernetesObject {
  const labels = { ...operatorPods, [managerLabel]: manager }
  return { ...object, metadata: { ...object.metadata, labels } }
}
