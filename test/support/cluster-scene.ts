import { dirname } from 'node:path'
import { stringify } from 'yaml'
import { type ArtifactRegistry, startArtifactRegistry } from './artifact-registry.ts'
import { berthImage, buildBerthImage, imageCommand } from './berth-image.ts'
import { type Cluster, type ClusterOptions, startCluster } from './cluster.ts'
import { type ProxyMode, pauseImage } from './cluster-node.ts'
import { runCommand } from './command.ts'
import { htpasswdLine, type Login } from './docker-registry.ts'
import { type GivenCluster, useCluster } from './given-cluster.ts'
import type { Kubernetes, Place } from './kubernetes.ts'
import { run, tool } from './programs.ts'
import { idle } from './runnable-image.ts'
import { startTokenExchange, type TokenExchange } from './token-exchange.ts'
import { until } from './until.ts'

/** A cluster, Berth's image and its chart, and Google on this machine. */
export interface ClusterScene<K extends Kubernetes = Kubernetes> {
  readonly cluster: K
  readonly registry: ArtifactRegistry
  readonly exchange: TokenExchange
  /** Installs or upgrades the chart, and waits until it is ready. */
  install(helm: 3 | 4, values?: Readonly<Record<string, unknown>>): Promise<void>
  /** Takes it away, if it is installed, and waits until its pods are gone. */
  uninstall(helm: 3 | 4): Promise<void>
  /** Starts a pod of an image, and waits until it runs. Rejects, if not, with why. */
  startPod(pod: Pod): Promise<void>
  /** Starts a pod whose image must not be had, and removes it. What kubelet says of the pull. */
  failPod(pod: Pod): Promise<string>
  /** Runs a test's steps; adds the state of the cluster to their errors. */
  explained(steps: () => Promise<void>): Promise<void>
  close(): Promise<void>
}

export type Pod = {
  readonly name: string
  readonly node: Place
  readonly image: string
  /** Its imagePullSecret, if it is another; null: none. */
  readonly secret?: string | null
  /** Default: the one of applications. */
  readonly namespace?: string
  readonly pullPolicy?: 'Always' | 'IfNotPresent'
}

export const login: Login = { user: 'kubelet', password: 'client-canary-81d7' }
/** Where Berth is installed, and where pods are that are pulled through it. */
export const namespaces = { berth: 'berth', apps: 'apps' } as const

export const pullSecret = 'berth-pull'
export const provider =
  'projects/123456789/locations/global/workloadIdentityPools/clusters/providers/it'
const chart = new URL('../../charts/berth', import.meta.url).pathname
const release = ['berth', chart, '--namespace', namespaces.berth]

type OwnClusterOptions = Pick<ClusterOptions, 'dns'> & {
  /** Berth's image gets to the nodes by `npm run image`, as users without a registry do it. */
  readonly loadsImage?: boolean
}

/** In a cluster of our own. */
export async function setClusterScene(
  mode: ProxyMode,
  { loadsImage = false, ...options }: OwnClusterOptions = {},
): Promise<ClusterScene<Cluster>> {
  const archive = await buildBerthImage()
  const cluster = await startCluster(mode, { ...options, images: loadsImage ? [] : [archive] })
  const image = { ...berthImage, pullPolicy: 'Never' }
  return setScene(cluster, image, async () => {
    if (loadsImage) await loadNodes(cluster, archive)
    for (const namespace of Object.values(namespaces))
      await cluster.kubectl(['create', 'namespace', namespace])
  })
}

async function loadNodes({ kubeconfig }: Cluster, archive: string): Promise<void> {
  const name = `${berthImage.repository}:${berthImage.tag}`
  const load = ['--from', archive, '--name', name, '--load', 'nodes', '--helper-image', pauseImage]
  const PATH = `${dirname(tool('kubectl'))}:/usr/sbin:/usr/bin:/sbin:/bin`
  const environment = { KUBECONFIG: kubeconfig, HOME: dirname(kubeconfig), PATH }
  await run([...imageCommand, ...load], { environment })
}

/** In an existing cluster, which is restored afterwards. */
export async function setSceneIn(given: GivenCluster): Promise<ClusterScene> {
  const [, repository = '', tag = ''] = /^(.*):([^:/]+)$/.exec(given.image) ?? []
  const kubernetes = await useCluster(given)
  const { kubectl } = kubernetes
  const made = Object.values(namespaces)
  // Nobody else's are touched: this fails if they exist.
  for (const namespace of made) await kubectl(['create', 'namespace', namespace])
  const close = async () => {
    await kubectl(['delete', 'namespace', ...made, '--wait'])
    await kubernetes.close()
  }
  return setScene({ ...kubernetes, close }, { repository, tag })
}

type BerthImage = {
  readonly repository: string
  readonly tag: string
  readonly pullPolicy?: string
}

async function setScene<K extends Kubernetes>(
  cluster: K,
  image: BerthImage,
  prepare: () => Promise<void> = async () => {},
): Promise<ClusterScene<K>> {
  const { kubectl, helm } = cluster
  const closing = [cluster.close]
  const close = async () => {
    for (const step of closing.splice(0).toReversed()) await step()
  }
  try {
    await prepare()
    const address = cluster.machine
    const jwks = await kubectl(['get', '--raw', '/openid/v1/jwks'])
    const exchange = await startTokenExchange({ provider, jwks, address })
    closing.push(exchange.stop)
    const { accessTokens } = exchange
    const registry = await startArtifactRegistry({ accessTokens, address })
    closing.push(registry.stop)
    const values = {
      upstream: registry.url,
      google: { workloadIdentityProvider: provider, tokenUrl: exchange.tokenUrl },
      htpasswd: { lines: [(await htpasswdLine(login)).trim()] },
      image,
      storage: { sizeLimit: '1Gi' },
      tests: { enabled: false },
    }
    await makeAppsNamespace(cluster)

    return {
      cluster,
      registry,
      exchange,
      install: async (version, changed = {}) => {
        // Helm reads YAML 1.1, to which `off` is false.
        const input = stringify({ ...values, ...changed }, { version: '1.1' })
        const waiting = ['--wait', '--timeout=180s']
        const command = ['upgrade', '--install', ...release, ...waiting]
        await helm(version, [...command, '--values=-'], { input })
      },
      uninstall: async (version) => {
        const words = ['--namespace', namespaces.berth, '--ignore-not-found', '--wait']
        await helm(version, ['uninstall', 'berth', ...words])
        const pods = ['get', 'pods', '-n', namespaces.berth, '-o', 'name']
        await until('its pods are gone', async () => {
          const left = await kubectl(pods)
          if (left !== '') throw new Error(left)
        })
      },
      startPod: async (pod) => {
        await cluster.apply(podOf(pod))
        await until(`pod ${pod.name} runs`, () => checkRuns(cluster, pod))
      },
      failPod: async (pod) => {
        await cluster.apply(podOf(pod))
        const why = await until(`pod ${pod.name} has no image`, () => whyNot(cluster, pod))
        const { name, namespace = namespaces.apps } = pod
        await kubectl(['delete', 'pod', '-n', namespace, name, '--wait'])
        return why
      },
      explained: async (steps) => {
        try {
          await steps()
        } catch (cause) {
          throw new Error(`what the cluster says:\n${await cluster.describe()}`, { cause })
        }
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function makeAppsNamespace(cluster: Kubernetes): Promise<void> {
  const { apps } = namespaces
  const { kubectl } = cluster
  await makePullSecret(cluster, { name: pullSecret, server: 'localhost:30026' })
  await until('there is a default service account', () =>
    kubectl(['get', 'serviceaccount', '-n', apps, 'default']),
  )
}

/** By `berth pull-secret`, for images of `server`. */
export async function makePullSecret(
  { kubectl }: Pick<Kubernetes, 'kubectl'>,
  { name, server }: { readonly name: string; readonly server: string },
): Promise<void> {
  const words = ['pull-secret', login.user, '-n', namespaces.apps, '--name', name]
  const input = `${login.password}\n`
  const { stdout } = await runCommand([...words, '--server', server], { input })
  await kubectl(['apply', '-f', '-'], { input: stdout })
}

function podOf(pod: Pod): unknown {
  const { name, node, image, secret = pullSecret, namespace = namespaces.apps } = pod
  const { pullPolicy: imagePullPolicy = 'Always' } = pod
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace },
    spec: {
      nodeName: node.name,
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'app', image, imagePullPolicy, command: idle }],
      ...(secret !== null && { imagePullSecrets: [{ name: secret }] }),
    },
  }
}

async function checkRuns({ kubectl }: Kubernetes, pod: Pod): Promise<void> {
  const { name, namespace = namespaces.apps } = pod
  const path = 'jsonpath={.status.phase} {.status.containerStatuses[*].state}'
  const state = await kubectl(['get', 'pod', '-n', namespace, name, '-o', path])
  if (!state.startsWith('Running')) throw new Error(state)
}

async function whyNot({ kubectl }: Kubernetes, pod: Pod): Promise<string> {
  const { name, namespace = namespaces.apps } = pod
  const path = 'jsonpath={.status.containerStatuses[*].state.waiting}'
  const state = await kubectl(['get', 'pod', '-n', namespace, name, '-o', path])
  if (!/ErrImagePull|ImagePullBackOff/.test(state)) throw new Error(`its state is ${state}`)
  return state
}
