import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { renderCluster } from './cluster-config.ts'
import { localRegistryHosting } from './local-registry-hosting.ts'
import { configureNode, findNodes } from './nodes.ts'
import { ProgramError, type Run } from './program.ts'
import { registryConfig, registryPort } from './registry-config.ts'
import { containerName, createRegistryContainer } from './registry-container.ts'
import { type DockerLogins, type LocalFiles, upstreamsFor } from './upstreams.ts'

export type KindOptions = {
  readonly engine: 'docker' | 'podman'
  /** Name of the cluster. */
  readonly name: string
  readonly workers: number
  /** Image of the nodes; undefined: kind's own default. */
  readonly nodeImage: string | undefined
  /** Of `localhost:PORT` on this machine and in image references. */
  readonly port: number
  /** Image of Berth. */
  readonly image: string
  /** Of the containers; kind's own is `kind`. */
  readonly network: string
  /** Hosts of the registries that are cached. */
  readonly upstreams: readonly string[]
  readonly maxCacheSize: string
  readonly files: LocalFiles
  readonly logins: DockerLogins
  /** Where the registry's configuration is written; must be visible to the engine, such as below the home directory. */
  readonly configFile: string
  /** Variables for the registry that select a profile or a region of AWS. */
  readonly environment: Readonly<Record<string, string>>
  /** The environment of programs that are started. */
  readonly processEnvironment: Readonly<Record<string, string | undefined>>
  readonly run: Run
  /** Receives a line for each step. */
  readonly report: (line: string) => void
  /** Receives the output of kind while it creates a cluster. */
  readonly onProgress: (text: string) => void
  /** Milliseconds until the registry has to answer. */
  readonly startTimeout?: number
}

/** A local cluster and the registry beside it. Every operation can be repeated. */
export interface LocalCluster {
  /** Creates what is missing, and configures all nodes. */
  up(): Promise<void>
  /** Starts the registry alone, for clusters of other programs. Creates the network if it is missing. */
  startRegistry(): Promise<void>
  /** Deletes the cluster, then the registry unless other clusters use it; its images only if `volume` is set. */
  down(options: { readonly volume: boolean }): Promise<void>
}

/** Address of the registry from nodes and pods. */
const inCluster = `${containerName}:${registryPort}`
/** URL of the registry from nodes and pods. */
export const server = `http://${inCluster}`

/** @throws ProgramError by each operation: which program failed, its message, and what to do. */
export function createLocalCluster(options: KindOptions): LocalCluster {
  const { engine, name, port, report, run } = options
  const registry = createRegistryContainer(engine, run)
  const host = `localhost:${port}`
  const kind = (...args: readonly string[]) => ['kind', ...args]
  const kindOptions = {
    environment: { ...options.processEnvironment, KIND_EXPERIMENTAL_PROVIDER: engine },
  }

  const clusters = async () =>
    (await run(kind('get', 'clusters'), kindOptions)).split('\n').filter(Boolean)

  const createCluster = async () => {
    const shape = { name, workers: options.workers, port, server }
    const image = options.nodeImage === undefined ? [] : ['--image', options.nodeImage]
    report(`creating the cluster ${name} with 1 control plane and ${options.workers} workers`)
    await run(kind('create', 'cluster', '--config', '-', '--wait', '3m', ...image), {
      ...kindOptions,
      input: renderCluster('kind', shape),
      onProgress: options.onProgress,
    })
  }

  const start = async () => {
    const { upstreams, notes } = upstreamsFor(options.upstreams, options.files, options.logins)
    for (const note of notes) report(`note: ${note}`)
    const text = registryConfig(upstreams, options.maxCacheSize)
    const { configFile: file, image, network, files, environment } = options
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    await writeFile(file, text, { mode: 0o600 })
    const config = { file, text }
    const outcome = await registry.start({ image, port, network, config, files, environment })
    report(`registry ${containerName}: ${outcome}`)
    await untilItAnswers(`http://${host}/v2/`, options, registry.logs)
  }

  return {
    up: async () => {
      if ((await clusters()).includes(name)) report(`the cluster ${name} exists`)
      else await createCluster()
      await start()
      const nodes = await findNodes(name, options)
      const [controlPlane] = nodes.controlPlanes
      if (controlPlane === undefined)
        throw new ProgramError(
          `${engine} lists no control plane of the cluster ${name}: was it created with another engine? Choose it with --engine`,
        )
      for (const node of [...nodes.controlPlanes, ...nodes.workers]) {
        await configureNode(node, { ...options, server })
        report(`node ${node}: pulls from ${host} and, through it, from all other registries`)
      }
      const kubectl = ['kubectl', '--kubeconfig', '/etc/kubernetes/admin.conf', 'apply', '-f', '-']
      await run([engine, 'exec', '--interactive', controlPlane, ...kubectl], {
        input: localRegistryHosting({ host, inCluster }),
      })
      report('ConfigMap kube-public/local-registry-hosting: applied')
    },

    startRegistry: async () => {
      const networks = await run([engine, 'network', 'ls', '--format', '{{.Name}}'])
      if (!networks.split('\n').includes(options.network))
        await run([engine, 'network', 'create', options.network])
      await start()
    },

    down: async ({ volume }) => {
      if ((await clusters()).includes(name)) {
        await run(kind('delete', 'cluster', '--name', name), kindOptions)
        report(`cluster ${name}: deleted`)
      } else report(`cluster ${name}: does not exist`)
      const others = await clusters()
      if (others.length > 0)
        return report(`registry ${containerName}: kept for the clusters ${others.join(', ')}`)
      await registry.remove({ volume })
      report(
        volume
          ? `registry ${containerName}: removed, with its images`
          : `registry ${containerName}: removed; the volume ${containerName} keeps its images for the next cluster`,
      )
    },
  }
}

async function untilItAnswers(
  url: string,
  { startTimeout = 60_000 }: KindOptions,
  logs: () => Promise<string>,
): Promise<void> {
  const deadline = performance.now() + startTimeout
  for (;;) {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) }).catch(() => undefined)
    await response?.body?.cancel()
    if (response?.ok === true) return
    if (performance.now() > deadline)
      throw new ProgramError(
        `the registry does not answer at ${url} after ${startTimeout / 1000} s. Its log:\n${await logs()}`,
      )
    await sleep(200)
  }
}
