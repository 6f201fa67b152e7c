import type { Kubernetes } from './kubernetes.ts'

type OutsideService = {
  readonly name: string
  readonly namespace: string
  readonly port: number
  /** Where the program listens, `host:port`. */
  readonly target: string
}

/** A Service in front of a program that runs outside of the cluster. */
export async function applyOutsideService(
  cluster: Pick<Kubernetes, 'apply'>,
  { name, namespace, port, target }: OutsideService,
): Promise<void> {
  const { hostname, port: targetPort } = new URL(`tcp://${target}`)
  const metadata = { name, namespace }
  await cluster.apply(
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [{ port }] } },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [hostname] }],
      ports: [{ port: Number(targetPort) }],
    },
  )
}
