import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { createAuthority } from './certificates.ts'
import type { ClusterNetwork } from './cluster-network.ts'
import type { ClusterNode } from './cluster-node.ts'
import { type Program, tool } from './programs.ts'

/** Kubernetes' own programs, except those that each node has. */
export interface ControlPlane {
  /** Paths of kubeconfig files: the administrator's, and each node's by its name. */
  readonly administrator: string
  nodeConfig(name: string): Promise<string>
  /** Certificate authority of the API server. */
  readonly authority: string
  /** Kills the API server, and starts it again without waiting. */
  restartApiServer(): Promise<void>
  close(): Promise<void>
}

type Options = {
  /** Where they run: the first node. */
  readonly node: Pick<ClusterNode, 'keep'>
  readonly network: ClusterNetwork
  readonly directory: string
  readonly logs: string
  readonly nodes: readonly string[]
}

/** Starts them, without waiting: they find each other. */
export async function startControlPlane(options: Options): Promise<ControlPlane> {
  const { node, network, directory, logs, nodes } = options
  await mkdir(directory, { recursive: true })
  const at = (name: string) => join(directory, name)
  const authority = await createAuthority('cluster')
  const address = network.node(1)
  const pair = await authority.issue([
    'DNS:kubernetes.default.svc',
    'DNS:kubernetes.default',
    'DNS:localhost',
    `IP:${address}`,
    `IP:${network.apiService}`,
  ])
  const accounts = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const tokens = new Map(['admin', ...nodes].map((name) => [name, randomBytes(16).toString('hex')]))
  const lines = [...tokens].map(([name, token]) =>
    name === 'admin'
      ? `${token},admin,admin,system:masters`
      : `${token},system:node:${name},${name},system:nodes`,
  )
  await writeFile(at('api.crt'), pair.certificate)
  await writeFile(at('api.key'), pair.key)
  await writeFile(at('sa.key'), accounts.privateKey.export({ type: 'pkcs1', format: 'pem' }))
  await writeFile(at('sa.pub'), accounts.publicKey.export({ type: 'spki', format: 'pem' }))
  await writeFile(at('tokens.csv'), `${lines.join('\n')}\n`)

  const kubeconfig = async (name: string): Promise<string> => {
    const server = `https://${address}:6443`
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server, 'certificate-authority': authority.file } }],
      users: [{ name: 'u', user: { token: tokens.get(name) } }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'c',
    }
    await writeFile(at(`${name}.conf`), stringify(config))
    return at(`${name}.conf`)
  }
  const administrator = await kubeconfig('admin')
  const started = new Map<string, Program>()
  const start = (name: string, command: readonly string[]) =>
    started.set(name, node.keep(command, join(logs, `${name}.log`)))

  const etcd = 'http://127.0.0.1:2379'
  start('etcd', [
    'etcd',
    `--data-dir=${at('etcd')}`,
    `--listen-client-urls=${etcd}`,
    `--advertise-client-urls=${etcd}`,
    '--listen-peer-urls=http://127.0.0.1:2380',
    '--unsafe-no-fsync',
  ])
  const apiServer = [
    tool('kube-apiserver'),
    `--etcd-servers=${etcd}`,
    `--advertise-address=${address}`,
    '--secure-port=6443',
    `--cert-dir=${directory}`,
    `--tls-cert-file=${at('api.crt')}`,
    `--tls-private-key-file=${at('api.key')}`,
    `--service-cluster-ip-range=${network.services}`,
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${at('sa.pub')}`,
    `--service-account-signing-key-file=${at('sa.key')}`,
    `--token-auth-file=${at('tokens.csv')}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction,PodSecurity',
    '--kubelet-preferred-address-types=InternalIP',
    '--allow-privileged',
    '--feature-gates=ImageVolume=true',
  ]
  start('kube-apiserver', apiServer)
  start('kube-controller-manager', [
    tool('kube-controller-manager'),
    `--kubeconfig=${administrator}`,
    `--service-account-private-key-file=${at('sa.key')}`,
    `--root-ca-file=${authority.file}`,
    '--use-service-account-credentials',
    '--leader-elect=false',
  ])
  start('kube-scheduler', [
    tool('kube-scheduler'),
    `--kubeconfig=${administrator}`,
    '--leader-elect=false',
  ])

  return {
    administrator,
    nodeConfig: kubeconfig,
    authority: authority.file,
    restartApiServer: async () => {
      await started.get('kube-apiserver')?.kill()
      start('kube-apiserver', apiServer)
    },
    close: async () => {
      await Promise.all([...started.values()].map((program) => program.kill()))
      await authority.remove()
    },
  }
}
