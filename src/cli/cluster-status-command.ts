import { Command } from 'commander'
import { listRegistryPods, type RegistryPod, type UserAccess } from '../kubernetes/kubernetes.ts'
import { addClusterOptions, type ClusterOptions } from './cluster-options.ts'
import { runBerth } from './cluster-programs.ts'
import { outputOption } from './options.ts'
import type { Context } from './registry-options.ts'
import type { Status } from './status.ts'
import { formatStatus } from './status-texts.ts'
import { formatTable } from './table.ts'
import { openUserAccess } from './user-access.ts'
import { formatDuration } from './why-texts.ts'

type Flags = ClusterOptions & { readonly output: 'text' | 'json' }

/** A pod, and what the registry in it says. */
export type Replica = RegistryPod & {
  readonly status?: Status
  /** Why it says nothing. */
  readonly error?: string
}

/** `kubectl berth status` */
export function clusterStatusCommand({ environment }: Context): Command {
  const command = new Command('status')
    .summary('print the state of the registry in a cluster')
    .description(
      'Print the state of each replica of the registry: version, uptime, cache and hit rate, hosted repositories, upstreams with their credentials, transfers in flight, and problems. It runs berth status in the pods, which takes the right to exec. The exit status is 1 if a replica is not ready.',
    )
    .addOption(outputOption)
    .addHelpText('after', examples)
  return addClusterOptions(command).action(async (flags: Flags) => {
    const access = await openUserAccess(flags, environment)
    const pods = await listRegistryPods(access, flags)
    const replicas = await Promise.all(pods.map((pod) => readReplica(access, pod)))
    const isReady = replicas.every(({ ready, status }) => ready && status?.ready === true)
    const text =
      flags.output === 'json'
        ? JSON.stringify({ ready: isReady, replicas })
        : formatReplicas(replicas, Date.now())
    process.stdout.write(`${text}\n`)
    if (!isReady) process.exitCode = 1
  })
}

/** Also of a pod that is not ready: its registry may run, and say why. */
export async function readReplica(access: UserAccess, pod: RegistryPod): Promise<Replica> {
  try {
    const { stdout, stderr } = await runBerth(access, pod, ['status', '--output', 'json'])
    if (stdout === '') return { ...pod, error: stderr }
    return { ...pod, status: JSON.parse(stdout) as Status }
  } catch (error) {
    return { ...pod, error: error instanceof Error ? error.message : String(error) }
  }
}

function formatReplicas(replicas: readonly Replica[], now: number): string {
  const table = formatTable(
    ['POD', 'NAMESPACE', 'NODE', 'READY', 'VERSION', 'UP', 'SIDECARS'],
    replicas.map(({ pod, namespace, node = '', ready, status, sidecars }) => [
      ...[pod, namespace, node, ready ? 'yes' : 'no', status?.version ?? ''],
      status === undefined ? '' : formatDuration(now - Date.parse(status.startedAt)),
      sidecars.join(','),
    ]),
  )
  const details = replicas.flatMap(({ pod, status, error, problems }) => [
    `\n${pod}`,
    ...problems.map((problem) => `${'problem'.padEnd(18)}${problem}`),
    ...(error === undefined ? [] : [`${'problem'.padEnd(18)}${error}`]),
    ...(status === undefined ? [] : [formatStatus(status, now)]),
  ])
  return [table, ...details].join('\n')
}

const examples = `
Examples:
  kubectl berth status
  kubectl berth status -n registry -o json`
