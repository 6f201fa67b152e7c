import { Command } from 'commander'
import {
  conditionOf,
  createClusterObjects,
  listVisibleRegistries,
  type Registry,
} from '../../install/install.ts'
import { listRegistryPods, type RegistryPod, type UserAccess } from '../../kubernetes/kubernetes.ts'
import { formatDuration } from '../../oci/amounts.ts'
import type { Status } from '../administration/status.ts'
import { formatStatus, row } from '../administration/status-texts.ts'
import type { Context } from '../login/registry-options.ts'
import { outputOption } from '../output/options.ts'
import { formatTable } from '../output/table.ts'
import { formatSpool, type SpoolState } from '../spool/spool-status-command.ts'
import { addClusterOptions, type ClusterOptions } from './cluster-options.ts'
import { runBerth } from './cluster-programs.ts'
import { summaryOf } from './registry-texts.ts'
import { openUserAccess } from './user-access.ts'

type Flags = ClusterOptions & { readonly output: 'text' | 'json' }

/** In the order in which one depends on the other. */
const conditionTypes = ['Accepted', 'Deployed', 'Reachable', 'Authenticated', 'Ready'] as const

/** A pod, and what the registry in it says. */
export type Replica = RegistryPod & {
  readonly status?: Status
  /** Of its spooler. */
  readonly spool?: SpoolState
  /** Why it says nothing. */
  readonly error?: string
}

type State = { readonly replicas: readonly Replica[]; readonly registries: Registries }

/** `kubectl berth status` */
export function clusterStatusCommand({ environment }: Context): Command {
  const command = new Command('status')
    .summary('print the state of the registry in a cluster')
    .description(
      'Print the state of each replica of the registry: version, uptime, cache and hit rate, hosted repositories, upstreams with their credentials, transfers in flight, what waits in its spool and has failed there, and problems; and the conditions of Registries, of the namespace or of all that you may list. It runs berth status in the pods, which takes the right to exec. The exit status is 1 if a replica or a Registry is not ready.',
    )
    .addOption(outputOption)
    .addHelpText('after', examples)
  return addClusterOptions(command).action(async (flags: Flags) => {
    const access = await openUserAccess(flags, environment)
    const pods = await listRegistryPods(access, flags)
    const [replicas, registries] = await Promise.all([
      Promise.all(pods.map((pod) => readReplica(access, pod))),
      readRegistries(access, pods, flags),
    ])
    const isReady = replicas.every(isReplicaReady) && registries.every(({ ready }) => ready)
    const state = { ready: isReady, replicas, registries }
    const text = flags.output === 'json' ? JSON.stringify(state) : formatState(state, Date.now())
    process.stdout.write(`${text}\n`)
    if (!isReady) process.exitCode = 1
  })
}

function isReplicaReady({ ready, registry, status }: Replica): boolean {
  // A surrogate has no state of its own: its Registry says it.
  return ready && (registry !== undefined || status?.ready === true)
}

type Registries = readonly ReturnType<typeof withConditions>[]

async function readRegistries(
  access: UserAccess,
  pods: readonly RegistryPod[],
  { namespace, registry: only }: Flags,
): Promise<Registries> {
  const places = [...new Set(pods.map((pod) => pod.namespace))]
  const found = await listVisibleRegistries(createClusterObjects(access), namespace, places)
  return found.map(withConditions).filter(({ name }) => only === undefined || name === only)
}

function withConditions(registry: Registry) {
  const conditions = conditionTypes.map(
    (type) => [type, conditionOf(registry, type)?.status ?? 'Unknown'] as const,
  )
  return { ...summaryOf(registry), conditions: Object.fromEntries(conditions) }
}

/** Also of a pod that is not ready: its registry may run, and say why. */
export async function readReplica(access: UserAccess, pod: RegistryPod): Promise<Replica> {
  const ask = async (container: string, ...words: readonly string[]): Promise<unknown> => {
    const command = [...words, 'status', '--output', 'json']
    const { stdout, stderr } = await runBerth(access, { ...pod, container }, command)
    if (stdout === '') throw new Error(stderr)
    return JSON.parse(stdout)
  }
  const [status, spool] = await Promise.allSettled([
    pod.registry === undefined ? ask(pod.container) : undefined,
    pod.sidecars.includes('spooler') ? ask('spooler', 'spool') : undefined,
  ])
  const failed = [status, spool].find((one) => one.status === 'rejected')
  return {
    ...pod,
    // Both ends are the same program.
    ...(status.status === 'fulfilled' && { status: status.value as Status }),
    ...(spool.status === 'fulfilled' && { spool: spool.value as SpoolState }),
    ...(failed !== undefined && { error: messageOf(failed.reason) }),
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function formatState({ replicas, registries }: State, now: number): string {
  const pods = formatTable(
    ['POD', 'NAMESPACE', 'NODE', 'READY', 'VERSION', 'UP', 'SIDECARS'],
    replicas.map(({ pod, namespace, node = '', ready, status, sidecars }) => [
      ...[pod, namespace, node, ready ? 'yes' : 'no', status?.version ?? ''],
      status === undefined ? '' : formatDuration(now - Date.parse(status.startedAt)),
      sidecars.join(','),
    ]),
  )
  const details = replicas.map(({ pod, status, spool, error, problems }) =>
    [
      `\n${pod}`,
      ...[...problems, ...(error === undefined ? [] : [error])].map((text) => row('problem', text)),
      ...(status === undefined ? [] : [formatStatus(status, now)]),
      ...(spool === undefined ? [] : formatSpool(spool, now).map((line) => row('spool', line))),
    ].join('\n'),
  )
  return [pods, ...details, ...formatRegistries(registries)].join('\n')
}

function formatRegistries(registries: Registries): readonly string[] {
  if (registries.length === 0) return []
  const table = formatTable(
    ['REGISTRY', 'NAMESPACE', 'HOST', ...conditionTypes.map((type) => type.toUpperCase())],
    registries.map(({ name, namespace, host, conditions }) => [
      ...[name, namespace, host ?? ''],
      ...conditionTypes.map((type) => conditions[type] ?? ''),
    ]),
  )
  const problems = registries
    .filter(({ ready }) => !ready)
    .map(({ namespace, name, message }) =>
      row(
        'problem',
        `${namespace}/${name}: ${message ?? 'the operator has not written its status'}`,
      ),
    )
  return [`\n${table}`, ...problems]
}

const examples = `
Examples:
  kubectl berth status
  kubectl berth status -n registry -o json
  # a Registry and its surrogate
  kubectl berth status --registry team -n team-a`
