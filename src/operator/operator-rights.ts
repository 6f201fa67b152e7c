/** A rule of a Role or ClusterRole. */
type Rule = {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
}

/**
 * What the operator may do where Registries are: in all namespaces (ClusterRole) or in one (Role). It reads no
 * Secret: the kubelet gives Secrets to the surrogates, which say whether they could log in.
 */
export const registryRules: readonly Rule[] = [
  { apiGroups: ['berth.dev'], resources: ['registries'], verbs: ['get', 'list', 'watch'] },
  { apiGroups: ['berth.dev'], resources: ['registries/status'], verbs: ['patch'] },
  // OpenShift requires it from a client that sets a Registry as the owner of an object.
  { apiGroups: ['berth.dev'], resources: ['registries/finalizers'], verbs: ['update'] },
  {
    apiGroups: ['apps'],
    resources: ['deployments'],
    verbs: ['get', 'list', 'watch', 'create', 'patch'],
  },
  // Where the surrogate listens, and why it does not start.
  { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch'] },
  // What `kubectl describe registry` shows.
  { apiGroups: [''], resources: ['events'], verbs: ['create'] },
  // `provider: simple`: the Service of the chart.
  { apiGroups: [''], resources: ['services'], verbs: ['list'] },
]

/** What it may do in its own namespace (Role): the Lease by which one of several operators is chosen. */
export const leaseRules: readonly Rule[] = [
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'create', 'update'] },
]
