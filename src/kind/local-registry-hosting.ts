import { stringify } from 'yaml'

type Addresses = {
  /** `localhost:PORT`, as people push to it. */
  readonly host: string
  /** `HOST:PORT` from nodes and pods. */
  readonly inCluster: string
}

/**
 * The ConfigMap by which tools such as tilt and skaffold find the registry of a local cluster (KEP-1755). Each address is that from
 * the place it names: nodes and pods reach the registry by the name of its container.
 */
export function localRegistryHosting({ host, inCluster }: Addresses): string {
  const hosting = {
    host,
    hostFromContainerRuntime: inCluster,
    hostFromClusterNetwork: inCluster,
    help: 'https://github.com/berth-registry/berth#readme',
  }
  return stringify({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'local-registry-hosting', namespace: 'kube-public' },
    data: { 'localRegistryHosting.v1': stringify(hosting) },
  })
}
