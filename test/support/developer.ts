import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import type { Cluster } from './cluster.ts'
import { type CutProxy, startCutProxy } from './cut-proxy.ts'

/** A user of a cluster with few rights, who reaches its API server through a proxy that can be cut. */
export interface Developer {
  readonly kubeconfig: string
  readonly proxy: CutProxy
}

export type Rule = { readonly resources: readonly string[]; readonly verbs: readonly string[] }

type Options = {
  readonly name: string
  readonly namespace: string
  readonly rules: readonly Rule[]
  readonly directory: string
}

/** With rights in one namespace alone. */
export async function createDeveloper(
  cluster: Cluster,
  { name, namespace, rules, directory }: Options,
): Promise<Developer> {
  const metadata = { name, namespace }
  const rbac = 'rbac.authorization.k8s.io'
  await cluster.apply(
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'Role',
      metadata,
      rules: rules.map((rule) => ({ apiGroups: [''], ...rule })),
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: rbac, kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace }],
    },
  )
  const token = await cluster.kubectl(['create', 'token', name, '-n', namespace])
  const administrator = parse(await readFile(cluster.kubeconfig, 'utf8'))
  const server = new URL(administrator.clusters[0].cluster.server)
  const proxy = await startCutProxy(Number(server.port), server.hostname)
  const kubeconfig = join(directory, `${name}.kubeconfig`)
  const content = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'cluster',
        cluster: {
          server: `https://127.0.0.1:${proxy.port}`,
          'tls-server-name': server.hostname,
          'certificate-authority-data': (await readFile(cluster.authority)).toString('base64'),
        },
      },
    ],
    users: [{ name, user: { token: token.trim() } }],
    contexts: [{ name, context: { cluster: 'cluster', user: name, namespace } }],
    'current-context': name,
  }
  await writeFile(kubeconfig, stringify(content))
  return { kubeconfig, proxy }
}
