import { join } from 'node:path'
import type { Cluster } from './cluster.ts'
import { type ClusterScene, login, namespaces, setClusterScene } from './cluster-scene.ts'
import { type Command, main, startCommand } from './command.ts'
import { createDeveloper, type Developer, type Rule } from './developer.ts'
import { volumeOnNode } from './node-volume.ts'

/** A hosted registry in a cluster, and users who reach nothing of it but its API server. */
export interface ConnectScene extends ClusterScene<Cluster> {
  /** Name of the registry's pod. */
  pod(): Promise<string>
  createDeveloper(name: string, rules: readonly Rule[]): Promise<Developer>
  /** Of `berth` and docker as that user. */
  environmentOf(developer: Developer): Readonly<Record<string, string>>
  /** `berth connect` at that port. */
  connect(developer: Developer, port: number, file?: string): Promise<Command>
}

const volume = '/var/lib/berth-connect-test'

const values = {
  replicas: 1,
  hosted: { enabled: true, storageClass: 'local', size: '16Gi', keep: false },
  storage: { sizeLimit: '8Gi' },
  config: {
    auth: {
      access: [{ users: [login.user], repositories: ['**'], actions: ['pull', 'push', 'delete'] }],
    },
  },
}

export const authorization = `Basic ${Buffer.from(`${login.user}:${login.password}`).toString('base64')}`

export const execRules: readonly Rule[] = [
  { resources: ['pods'], verbs: ['get', 'list'] },
  { resources: ['pods/exec'], verbs: ['get', 'create'] },
]

/** `directory`: for files of users, and docker's configuration in `docker/client`. */
export async function setConnectScene(directory: string): Promise<ConnectScene> {
  const scene = await setClusterScene('iptables')
  const closing: (() => Promise<void>)[] = [scene.close]
  const close = async () => {
    for (const step of closing.splice(0).toReversed()) await step()
  }
  const environmentOf = ({ kubeconfig }: Developer) => ({
    HOME: directory,
    KUBECONFIG: kubeconfig,
    DOCKER_CONFIG: join(directory, 'docker/client'),
  })
  try {
    await scene.cluster.apply(await volumeOnNode(scene.cluster.nodes[1], volume))
    await scene.explained(() => scene.install(3, values))
  } catch (error) {
    await close()
    throw error
  }
  return {
    ...scene,
    pod: async () => {
      const words = ['get', 'pods', '-n', namespaces.berth, '-o', 'name', '-l']
      const names = await scene.cluster.kubectl([...words, 'app.kubernetes.io/component=registry'])
      return names.trim().replace('pod/', '')
    },
    createDeveloper: async (name, rules) => {
      const options = { name, namespace: namespaces.berth, rules, directory }
      const developer = await createDeveloper(scene.cluster, options)
      closing.push(developer.proxy.close)
      return developer
    },
    environmentOf,
    connect: async (developer, port, file = main) => {
      const environment = environmentOf(developer)
      const options = { environment, file, patience: 1_200_000 }
      const command = startCommand(['connect', '--port', String(port), '-v'], options)
      closing.push(async () => {
        command.signal('SIGINT')
        await command.finished
      })
      await command.wrote(/is the registry of pod/)
      return command
    },
    close,
  }
}
