import { mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeCgroups } from './cgroups.ts'
import { startClusterDns } from './cluster-dns.ts'
import { type ClusterNetwork, startClusterNetwork } from './cluster-network.ts'
import { type ClusterNode, type ProxyMode, pauseImage, startClusterNode } from './cluster-node.ts'
import { type ControlPlane, startControlPlane } from './control-plane.ts'
import { removeDirectory } from './directory.ts'
import { createClient, type Kubernetes, lastLines } from './kubernetes.ts'
import { buildPauseImage } from './runnable-image.ts'
import { until } from './until.ts'

/** A real Kubernetes of two nodes, which are name spaces of this machine. */
export interface Cluster extends Kubernetes {
  readonly nodes: readonly [ClusterNode, ClusterNode]
  /** Path of the administrator's kubeconfig. */
  readonly kubeconfig: string
  /** Certificate authority of its API server, a path. */
  readonly authority: string
  /** Kills the API server, starts it again, and waits until it is ready. */
  restartApiServer(): Promise<void>
  /** Makes an image known to all nodes. */
  importImage(file: string): Promise<void>
  /** kube-proxy on all nodes, in another mode than before if it runs already. */
  startProxies(mode: ProxyMode): Promise<void>
}

export type ClusterOptions = {
  /** Pods find Services by their names. */
  readonly dns?: boolean
  /** Archives of images that all nodes have from the beginning. */
  readonly images?: readonly string[]
}

const prefix = 'berth-cluster-'

/** Two nodes, Ready. Takes root, and what `.ci/install` installs. Twenty seconds on a quiet machine. */
export async function startCluster(
  mode: ProxyMode,
  { dns = false, images = [] }: ClusterOptions = {},
): Promise<Cluster> {
  await removeLeftovers()
  const directory = await mkdtemp(join(tmpdir(), prefix))
  await writeFile(join(directory, 'owner'), String(process.pid))
  const logs = join(directory, 'logs')
  await mkdir(logs)
  const closing: (() => Promise<void>)[] = [() => remove(directory)]
  const close = async () => {
    for (const step of closing.splice(0).toReversed()) await step()
  }
  try {
    const network = await startClusterNetwork()
    closing.push(network.close)
    const settings = dns ? { clusterDNS: [network.machine], clusterDomain: 'cluster.local' } : {}
    const parts = { network, directory, logs, settings }
    const nodes = [
      await startClusterNode({ ...parts, n: 1, all: 2 }),
      await startClusterNode({ ...parts, n: 2, all: 2 }),
    ] as const
    closing.push(async () => void (await Promise.all(nodes.map((node) => node.close()))))
    const controlPlane = await startControlPlane({
      ...parts,
      directory: join(directory, 'control-plane'),
      node: nodes[0],
      nodes: nodes.map(({ name }) => name),
    })
    closing.push(controlPlane.close)
    const cluster = createCluster({ nodes, network, controlPlane, logs, close })
    if (dns) closing.push((await startClusterDns(network.machine, serviceIn(cluster))).close)
    const importImages = async () => {
      await Promise.all(nodes.map((node) => node.startRuntime()))
      const pause = await buildPauseImage(directory, pauseImage)
      await until('images can be imported', () => cluster.importImage(pause))
      for (const image of images) await cluster.importImage(image)
    }
    await Promise.all([importImages(), bringUp(cluster, controlPlane, mode)])
    return cluster
  } catch (error) {
    const ends = await endsOf(logs)
    await close()
    throw new Error(`the cluster did not start:\n${ends}`, { cause: error })
  }
}

function serviceIn({ kubectl }: Cluster) {
  return async (name: string, namespace: string): Promise<readonly string[]> => {
    const get = (kind: string, path: string) =>
      kubectl(['get', kind, name, '-n', namespace, '-o', `jsonpath=${path}`, '--ignore-not-found'])
    const address = await get('service', '{.spec.clusterIP}')
    const found =
      address === 'None' ? await get('endpoints', '{.subsets[*].addresses[*].ip}') : address
    return found.split(' ').filter(Boolean)
  }
}

async function bringUp(
  cluster: Cluster,
  controlPlane: ControlPlane,
  mode: ProxyMode,
): Promise<void> {
  const { nodes, kubectl } = cluster
  await until('the API server is ready', () => kubectl(['get', '--raw', '/readyz']))
  for (const node of nodes) await node.startKubelet(await controlPlane.nodeConfig(node.name))
  await cluster.startProxies(mode)
  await until('both nodes are registered', () =>
    kubectl(['get', 'node', ...nodes.map(({ name }) => name)]),
  )
  await kubectl(['wait', 'node', '--all', '--for=condition=Ready', '--timeout=120s'])
  await until('there is a default service account', () =>
    kubectl(['get', 'serviceaccount', 'default']),
  )
}

type Parts = {
  readonly nodes: readonly [ClusterNode, ClusterNode]
  readonly network: ClusterNetwork
  readonly controlPlane: ControlPlane
  readonly logs: string
  readonly close: () => Promise<void>
}

function createCluster({ nodes, network, controlPlane, logs, close }: Parts): Cluster {
  const kubeconfig = controlPlane.administrator
  const client = createClient({ kubeconfig, home: join(logs, '..') })

  return {
    ...client,
    nodes,
    machine: network.machine,
    kubeconfig,
    authority: controlPlane.authority,
    restartApiServer: async () => {
      await controlPlane.restartApiServer()
      await until('the API server is ready again', () =>
        client.kubectl(['get', '--raw', '/readyz']),
      )
    },
    importImage: async (file) => {
      await Promise.all(nodes.map((node) => node.importImage(file)))
    },
    startProxies: async (mode) => {
      await Promise.all(nodes.map((node) => node.startProxy(mode)))
    },
    describe: async () => `${await client.describe()}\n${await endsOf(logs)}`,
    close,
  }
}

async function endsOf(logs: string): Promise<string> {
  const files = await readdir(logs)
  const ends = files.map(async (file) => {
    const text = await readFile(join(logs, file), 'utf8')
    return `== the end of ${file}\n${lastLines(text, 15)}`
  })
  return (await Promise.all(ends)).join('\n')
}

async function remove(directory: string): Promise<void> {
  for (const node of await readdir(directory))
    await removeCgroups(join(directory, node, 'containerd'))
  await removeDirectory(directory)
}

/** Of an earlier run that was killed: its programs, mounts and devices went with it, files did not. */
async function removeLeftovers(): Promise<void> {
  const names = await readdir(tmpdir())
  for (const name of names.filter((one) => one.startsWith(prefix))) {
    const directory = join(tmpdir(), name)
    const owner = await readFile(join(directory, 'owner'), 'utf8').catch(() => undefined)
    if (owner !== undefined && !isAlive(Number(owner))) await remove(directory)
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
