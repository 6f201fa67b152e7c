import { Command } from 'commander'
import {
  type AppliedObject,
  installOperator,
  operatorObjects,
  operatorPods,
  uninstallOperator,
  waitForOperator,
} from '../../install/install.ts'
import type { Context } from '../login/registry-options.ts'
import { linesFor, print, untilInterrupted } from '../output/image-output.ts'
import { outputOption } from '../output/options.ts'
import { UsageError } from '../process/errors.ts'
import {
  type AccessOptions,
  addAccessOptions,
  addInstallOptions,
  describeApplied,
  formatObjects,
  type InstallOptions,
  openCluster,
  stepsFor,
  timeoutOf,
} from './install-options.ts'
import { addLogOptions, type LogFlags, writeLogs } from './logs-command.ts'
import { operatorRunCommand } from './operator-run-command.ts'

/** `berth operator …`: the operator of Registry resources in a cluster. */
export function operatorCommand(context: Context): Command {
  return new Command('operator')
    .summary('the operator of Registry resources')
    .description(
      'Install the operator, which keeps a surrogate beside each Registry of a cluster, through which kubectl berth reaches it.',
    )
    .addCommand(installCommand(context))
    .addCommand(uninstallCommand(context))
    .addCommand(logsCommand(context))
    .addCommand(operatorRunCommand(context))
}

type InstallFlags = InstallOptions & {
  readonly image: string
  readonly cluster?: boolean
  readonly role?: string
  readonly replicas: string
  readonly definition: boolean
}

function installCommand(context: Context): Command {
  const command = new Command('install')
    .summary('install or upgrade the operator')
    .description(
      "Install the operator in a namespace, and the definition of Registry in the cluster. Repeat the command to upgrade it. The operator's rights are those that it needs, for the Registries of its namespace or of all.",
    )
    .option('--image <image>', "Berth's image", `localhost/berth:${context.version}`)
    .option('--cluster', 'for the Registries of all namespaces, not only of its own')
    .option('--replicas <count>', 'pods of the operator; one works, another one takes over', '1')
    .option('--role <name>', 'bind this ClusterRole, in place of a role that is made')
    .option('--no-definition', 'leave the definition of Registry to an administrator')
  return addInstallOptions(command, 'the operator is ready')
    .addHelpText('after', installExamples)
    .action((flags: InstallFlags) =>
      flags.dryRun === true
        ? void process.stdout.write(
            formatObjects(flags, operatorObjects(flags.namespace ?? 'default', choicesOf(flags))),
          )
        : untilInterrupted((signal) => install(flags, context, signal)),
    )
}

async function install(flags: InstallFlags, context: Context, signal: AbortSignal): Promise<void> {
  if (flags.output === 'yaml')
    throw new UsageError('-o yaml prints the objects: add --dry-run, which applies nothing')
  const timeout = timeoutOf(flags)
  const step = stepsFor(flags)
  const { objects: cluster, namespace } = await openCluster(flags, context, signal)
  const applied = await installOperator(cluster, {
    namespace,
    choices: choicesOf(flags),
    force: flags.forceConflicts,
    onApplied: (object) => step(describeApplied(object)),
    onRemoved: (what) => step(`deleted ${what}, which is not needed any more`),
  })
  const result = { namespace, scope: choicesOf(flags).scope, objects: applied }
  if (flags.wait !== true) return report(flags, result)
  const onState = (state: string) => step(`waiting: ${state}`)
  await waitForOperator(cluster, namespace, { timeout, onState, signal })
  report(flags, { ...result, ready: true })
}

function choicesOf({ image, cluster, role, replicas: text, definition }: InstallFlags) {
  const scope = cluster === true ? ('cluster' as const) : ('namespace' as const)
  const replicas = Number(text)
  if (!/^[1-9]\d?$/.test(text))
    throw new UsageError(`--replicas ${text}: expected a number from 1 to 99`)
  return { image, scope, role, replicas, withoutDefinition: !definition }
}

type Result = {
  readonly namespace: string
  readonly scope: 'cluster' | 'namespace'
  readonly objects: readonly AppliedObject[]
  readonly ready?: boolean
}

function report({ output }: InstallFlags, result: Result): void {
  const { namespace, scope, ready } = result
  const where = scope === 'cluster' ? 'all namespaces' : `namespace ${namespace}`
  const state = ready === true ? 'runs' : 'is installed'
  process.stdout.write(
    output === 'json'
      ? `${JSON.stringify(result)}\n`
      : `the operator ${state} in namespace ${namespace}, for the Registries of ${where}\n`,
  )
}

type UninstallFlags = AccessOptions & {
  readonly output: 'text' | 'json'
  readonly deleteDefinition?: boolean
}

function uninstallCommand(context: Context): Command {
  return addAccessOptions(new Command('uninstall'))
    .summary('remove the operator; Registries and their surrogates stay')
    .description(
      'Remove the operator and its rights. Registries stay, and so do their surrogates and the definition of Registry: with it, all Registries of the cluster would be deleted.',
    )
    .option(
      '--delete-definition',
      'also delete the definition of Registry, if there is no Registry in any namespace',
    )
    .addOption(outputOption)
    .addHelpText('after', uninstallExamples)
    .action((flags: UninstallFlags) =>
      untilInterrupted(async (signal) => {
        const { objects, namespace } = await openCluster(flags, context, signal)
        const line = linesFor(flags)
        const removal = await uninstallOperator(objects, {
          namespace,
          withDefinition: flags.deleteDefinition === true,
          onRemoved: (what) => line?.(`deleted ${what}`),
        })
        print(flags, { namespace, ...removal }, ({ removed, kept }) =>
          [
            removed.length === 0
              ? `the operator is not installed in namespace ${namespace} by this command`
              : `the operator is removed from namespace ${namespace}`,
            ...kept.map((what) => `kept: ${what}`),
          ].join('\n'),
        )
      }),
    )
}

function logsCommand(context: Context): Command {
  return addLogOptions(new Command('logs'))
    .summary("write the operator's log")
    .addHelpText(
      'after',
      `
Examples:
  kubectl berth operator logs -n berth-operator --tail 20
  kubectl berth operator logs -n berth-operator --follow`,
    )
    .action((flags: LogFlags) =>
      writeLogs(context, flags, { what: 'the operator', labels: operatorPods }),
    )
}

const installExamples = `
The definition takes the right to apply a CustomResourceDefinition; --cluster that to create a ClusterRole. Where only
administrators may do that: they apply what --dry-run prints.

Examples:
  kubectl berth operator install -n team-a --wait
  kubectl berth operator install -n berth-operator --cluster --image registry.example.com/berth:0.1.0 --wait --timeout 2m
  kubectl berth operator install -n berth-operator --cluster --dry-run -o yaml > operator.yaml`

const uninstallExamples = `
Examples:
  kubectl berth operator uninstall -n team-a
  kubectl berth operator uninstall -n team-a --delete-definition`
