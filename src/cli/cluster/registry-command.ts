import { Command } from 'commander'
import {
  describeRegistry,
  getRegistry,
  listRegistries,
  registryReference,
  surrogatePods,
} from '../../install/install.ts'
import { type AccessOptions, addAccessOptions, openCluster } from '../install/install-options.ts'
import { addLogOptions, type LogFlags, writeLogs } from '../install/logs-command.ts'
import { registryCreateCommand } from '../install/registry-create-command.ts'
import type { Context } from '../login/registry-options.ts'
import { linesFor, print, untilInterrupted } from '../output/image-output.ts'
import { outputOption } from '../output/options.ts'
import { openClusterRegistry } from './cluster-registry.ts'
import { createStateLines } from './connection-lines.ts'
import { readRegistryInfo } from './registry-info.ts'
import { describeText, infoText, registryTable, summaryOf } from './registry-texts.ts'

/** Milliseconds for which it waits for a connection that broke. */
const maxOutage = 30_000

type Flags = AccessOptions & { readonly output: 'text' | 'json' }
type ListFlags = Flags & { readonly allNamespaces?: boolean }

/** `berth registry …`: Registry resources. */
export function registryCommand(context: Context): Command {
  return new Command('registry')
    .summary('registries that are reached through a surrogate in the cluster')
    .description(
      'Create, list, describe and delete Registries: registries that `kubectl berth` reaches through a surrogate in the cluster. The operator, which starts the surrogates, is installed with `kubectl berth operator install`.',
    )
    .addCommand(registryCreateCommand(context))
    .addCommand(listCommand(context))
    .addCommand(describeCommand(context))
    .addCommand(infoCommand(context))
    .addCommand(deleteCommand(context))
    .addCommand(logsCommand(context))
}

function listCommand(context: Context): Command {
  return addAccessOptions(new Command('list'))
    .summary('list Registries, and whether they are ready')
    .option('-A, --all-namespaces', 'of all namespaces')
    .addOption(outputOption)
    .addHelpText(
      'after',
      `
Examples:
  kubectl berth registry list -A
  kubectl berth registry list -n team-a -o json`,
    )
    .action((flags: ListFlags) =>
      untilInterrupted(async (signal) => {
        const { objects, namespace } = await openCluster(flags, context, signal)
        const isAll = flags.allNamespaces === true
        const found = await listRegistries(objects, isAll ? undefined : namespace)
        print(flags, { registries: found.map(summaryOf) }, ({ registries }) =>
          registries.length === 0
            ? `no Registries in ${isAll ? 'the cluster' : `namespace ${namespace}`}`
            : registryTable(registries, { hasNamespaces: isAll }),
        )
      }),
    )
}

function describeCommand(context: Context): Command {
  return addAccessOptions(new Command('describe'))
    .summary('its spec, conditions, surrogate and events')
    .argument('<name>', 'name of the Registry')
    .addOption(outputOption)
    .addHelpText('after', '\nExample:\n  kubectl berth registry describe team -n team-a')
    .action((name: string, flags: Flags) =>
      untilInterrupted(async (signal) => {
        const { objects, namespace } = await openCluster(flags, context, signal)
        print(flags, await describeRegistry(objects, namespace, name), describeText)
      }),
    )
}

function infoCommand(context: Context): Command {
  return addAccessOptions(new Command('info'))
    .summary('whether the registry answers now, and what it can')
    .description(
      'Ask the registry itself, through its surrogate: whether it answers and accepts the login now, and whether it has a catalog, referrers and deletions. Nothing is changed. The exit status is 1 if it does not answer.',
    )
    .argument('<name>', 'name of the Registry')
    .addOption(outputOption)
    .addHelpText('after', '\nExample:\n  kubectl berth registry info team -n team-a')
    .action((name: string, flags: Flags) =>
      untilInterrupted(async (signal) => {
        const { objects, namespace } = await openCluster(flags, context, signal)
        await getRegistry(objects, namespace, name)
        const selector = selectorOf(surrogatePods(name))
        const registry = await openClusterRegistry({
          ...context,
          options: { ...flags, namespace, selector },
          maxOutage,
          onState: createStateLines(flags),
          signal,
        })
        try {
          const info = await readRegistryInfo(registry, signal)
          print(flags, { namespace, name, ...info }, infoText)
          if (!info.answers) process.exitCode = 1
        } finally {
          await registry.close()
        }
      }),
    )
}

function selectorOf(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join()
}

function deleteCommand(context: Context): Command {
  return addAccessOptions(new Command('delete'))
    .summary('delete Registries; the registries themselves and their images stay')
    .description(
      'Delete Registries, and with them their surrogates and what `registry create` stored for them (the login, the authorities). The registries themselves and their images stay, and so do Secrets that you made.',
    )
    .argument('<names...>', 'names of Registries')
    .addOption(outputOption)
    .addHelpText('after', '\nExample:\n  kubectl berth registry delete team -n team-a')
    .action((names: readonly string[], flags: Flags) =>
      untilInterrupted(async (signal) => {
        const { objects, namespace } = await openCluster(flags, context, signal)
        const line = linesFor(flags)
        // All are there before the first one is deleted.
        for (const name of names) await getRegistry(objects, namespace, name)
        for (const name of names) {
          await objects.delete(registryReference(namespace, name))
          line?.(`deleted Registry ${name} in namespace ${namespace}`)
        }
        print(flags, { namespace, deleted: names }, ({ deleted }) =>
          deleted.length === 1 ? 'its surrogate ends' : 'their surrogates end',
        )
      }),
    )
}

function logsCommand(context: Context): Command {
  return addLogOptions(new Command('logs'))
    .summary("write the surrogate's log")
    .argument('<name>', 'name of the Registry')
    .addHelpText(
      'after',
      `
The containers of a surrogate are berth and spooler.

Examples:
  kubectl berth registry logs team -n team-a --follow
  kubectl berth registry logs team -n team-a --container spooler`,
    )
    .action((name: string, flags: LogFlags) =>
      writeLogs(context, flags, { what: `Registry ${name}`, labels: surrogatePods(name) }),
    )
}
