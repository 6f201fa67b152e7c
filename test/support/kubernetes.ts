import { attempt, type RunOptions, run, tool } from './programs.ts'

/** A Kubernetes cluster of at least two nodes, with the permissions of an administrator. */
export interface Kubernetes {
  /** Two of its nodes. */
  readonly nodes: readonly [Place, Place]
  /** This machine's address, as pods reach it. */
  readonly machine: string
  kubectl(args: readonly string[], options?: RunOptions): Promise<string>
  /** Applies objects. */
  apply(...objects: readonly unknown[]): Promise<void>
  helm(version: 3 | 4, args: readonly string[], options?: RunOptions): Promise<string>
  /** Pods, events and logs, for the message of a failed test. */
  describe(): Promise<string>
  close(): Promise<void>
}

/** Where a pod can be, and where NodePorts are. */
export type Place = { readonly name: string; readonly address: string }

type Options = {
  readonly kubeconfig: string
  /** The cache directory of kubectl and helm. */
  readonly home: string
}

type Client = Pick<Kubernetes, 'kubectl' | 'apply' | 'helm' | 'describe'>

export function createClient({ kubeconfig, home }: Options): Client {
  const environment = { KUBECONFIG: kubeconfig, HOME: home }
  const kubectl = (args: readonly string[], options: RunOptions = {}) =>
    run([tool('kubectl'), ...args], { environment, ...options })
  const ask = async (...args: readonly string[]) => {
    const { output } = await attempt([tool('kubectl'), ...args], { environment, patience: 20 })
    return `$ kubectl ${args.join(' ')}\n${output}`
  }

  return {
    kubectl,
    apply: async (...objects) => {
      const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects })
      await kubectl(['apply', '-f', '-'], { input })
    },
    helm: (version, args, options = {}) =>
      run([tool(`helm${version}`), ...args], { environment, patience: 300, ...options }),
    describe: async () => {
      const pods = await ask('get', 'pods,services,endpointslices', '-A', '-o', 'wide')
      const events = await ask('get', 'events', '-A', '--sort-by=.lastTimestamp')
      const names = await ask('get', 'pods', '-A', '-o', podNames)
      const told = [...names.matchAll(/^(\S+)\/(\S+)$/gm)].map(([, namespace = '', pod = '']) =>
        ask('logs', '-n', namespace, pod, '--all-containers', '--tail=40', '--ignore-errors'),
      )
      return [pods, lastLines(events, 60), ...(await Promise.all(told))].join('\n')
    },
  }
}

const podNames = 'jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name}{"\\n"}{end}'

export function lastLines(text: string, count: number): string {
  return text.trimEnd().split('\n').slice(-count).join('\n')
}
