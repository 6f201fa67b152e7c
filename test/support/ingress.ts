import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Cluster } from './cluster.ts'
import { run, tool } from './programs.ts'

/** What a cluster needs for certificates, Ingresses and Gateways, as SREs install it. */
export interface IngressParts {
  /** Runs a program outside of the cluster, where `host` leads to the Ingress. */
  outside(
    command: readonly string[],
    environment?: Readonly<Record<string, string>>,
  ): Promise<string>
}

const definitions = new URL('../../.ci/tools/crds/', import.meta.url).pathname

const classes = [
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'IngressClass',
    metadata: { name: 'traefik' },
    spec: { controller: 'traefik.io/ingress-controller' },
  },
  {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'GatewayClass',
    metadata: { name: 'traefik' },
    spec: { controllerName: 'traefik.io/gateway-controller' },
  },
]

/**
 * Starts cert-manager and Traefik on the first node, with the permissions of an administrator. All nodes
 * resolve `host` to Traefik, by their hosts files.
 */
export async function startIngress(cluster: Cluster, host: string): Promise<IngressParts> {
  const { kubectl, kubeconfig, nodes } = cluster
  const [node] = nodes
  // The definitions of the Gateway API are too large for the annotation of a client-side apply.
  for (const name of ['cert-manager', 'gateway-api'])
    await kubectl(['apply', '--server-side', '-f', definitions + name])
  await kubectl(['wait', 'crd', '--all', '--for=condition=Established', '--timeout=60s'])
  await cluster.apply(...classes)
  const directory = dirname(dirname(kubeconfig))
  const logOf = (name: string) => join(directory, 'logs', `${name}.log`)
  node.keep(
    [tool('cert-manager'), `--kubeconfig=${kubeconfig}`, '--gateway-api'],
    logOf('cert-manager'),
  )
  node.keep(
    [
      'env',
      `KUBECONFIG=${kubeconfig}`,
      tool('traefik'),
      `--entryPoints.websecure.address=${node.address}:443`,
      '--entryPoints.websecure.http.tls=true',
      '--entryPoints.websecure.transport.respondingTimeouts.readTimeout=0',
      '--providers.kubernetesIngress.ingressClass=traefik',
      '--providers.kubernetesGateway=true',
    ],
    logOf('traefik'),
  )
  const hosts = join(directory, 'hosts')
  await writeFile(hosts, `127.0.0.1 localhost\n${node.address} ${host}\n`)
  for (const each of nodes) await each.run(['mount', '--bind', hosts, '/etc/hosts'])
  const mounting = ['sh', '-ec', 'mount --bind "$1" /etc/hosts; shift; exec "$@"', 'sh', hosts]

  return {
    outside: (command, environment = {}) =>
      run(['unshare', '--mount', '--', ...mounting, ...command], { environment }),
  }
}
