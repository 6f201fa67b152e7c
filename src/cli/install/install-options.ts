import { type Command, Option } from 'commander'
import { stringify } from 'yaml'
import { parseDuration } from '../../config/config.ts'
import {
  type AppliedObject,
  type ClusterObjects,
  createClusterObjects,
  type KubernetesObject,
} from '../../install/install.ts'
import type { UserAccess } from '../../kubernetes/kubernetes.ts'
import type { ClusterOptions } from '../cluster/cluster-options.ts'
import { openUserAccess } from '../cluster/user-access.ts'
import type { Context } from '../login/registry-options.ts'
import { linesFor } from '../output/image-output.ts'
import { UsageError } from '../process/errors.ts'

/** Which cluster and namespace, as options of kubectl name them. */
export type AccessOptions = Pick<ClusterOptions, 'namespace' | 'context' | 'kubeconfig' | 'verbose'>

/** Commands that print YAML have it for objects. */
export type OutputOptions = { readonly output: 'text' | 'json' | 'yaml' }

export type WaitOptions = { readonly wait?: boolean; readonly timeout: string }

export type InstallOptions = AccessOptions &
  OutputOptions &
  WaitOptions & { readonly dryRun?: boolean; readonly forceConflicts?: boolean }

/** A cluster, and the user's place in it. */
export interface OpenCluster {
  readonly access: UserAccess
  readonly objects: ClusterObjects
  /** Of `-n`, else of the context, else `default`, as with kubectl. */
  readonly namespace: string
}

export function addAccessOptions(command: Command): Command {
  return command
    .option('-n, --namespace <name>', 'namespace (default: that of the context, else default)')
    .option('--context <name>', 'context of the kubeconfig')
    .option('--kubeconfig <file>', 'kubeconfig (default: $KUBECONFIG, else ~/.kube/config)')
    .option('-v, --verbose', 'print to which API server the command connects')
}

function addWaitOptions(command: Command, what: string): Command {
  return command
    .option('--wait', `wait until ${what}, and say what is waited for`)
    .option('--timeout <duration>', 'how long to wait', '5m')
}

/** For commands that apply objects. */
export function addInstallOptions(command: Command, what: string): Command {
  return addWaitOptions(addAccessOptions(command), what)
    .addOption(
      new Option('-o, --output <format>', 'output format')
        .choices(['text', 'json', 'yaml'])
        .default('text'),
    )
    .option('--dry-run', 'print the objects (-o yaml or json) and connect to no cluster')
    .option('--force-conflicts', 'take over fields that somebody else has changed in the cluster')
}

export async function openCluster(
  options: AccessOptions,
  { environment }: Context,
  signal: AbortSignal,
): Promise<OpenCluster> {
  const access = await openUserAccess(options, environment)
  const { context, server, namespace: own } = access
  const namespace = options.namespace ?? own ?? 'default'
  if (options.verbose === true)
    process.stderr.write(`context ${context}: ${server.href}, namespace ${namespace}\n`)
  return { access, objects: createClusterObjects(access, signal), namespace }
}

/** Milliseconds. @throws UsageError */
export function timeoutOf({ timeout }: Pick<WaitOptions, 'timeout'>): number {
  const milliseconds = parseDuration(timeout)
  if (milliseconds === undefined || milliseconds === 0)
    throw new UsageError(`--timeout ${timeout}: expected a duration with a unit, such as 90s or 5m`)
  return milliseconds
}

/** Lines on standard error about each step. */
export function stepsFor({ output }: OutputOptions): (line: string) => void {
  return (output === 'text' ? linesFor({ output }) : undefined) ?? (() => {})
}

/** For `--dry-run`: a list in JSON, or YAML 1.1, as Kubernetes reads it. */
export function formatObjects(
  { output }: OutputOptions,
  objects: readonly KubernetesObject[],
): string {
  return output === 'json'
    ? `${JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects })}\n`
    : objects
        .map((object) => stringify(object, { version: '1.1', aliasDuplicateObjects: false }))
        .join('---\n')
}

export function describeApplied({ kind, name, namespace, result }: AppliedObject): string {
  return `${result} ${kind} ${name}${namespace === undefined ? '' : ` in namespace ${namespace}`}`
}
