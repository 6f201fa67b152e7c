import { Command } from 'commander'
import { simplePods, uninstallSimple } from '../../install/install.ts'
import type { Context } from '../login/registry-options.ts'
import { linesFor, print, untilInterrupted } from '../output/image-output.ts'
import { outputOption } from '../output/options.ts'
import { type AccessOptions, addAccessOptions, openCluster } from './install-options.ts'
import { addLogOptions, type LogFlags, writeLogs } from './logs-command.ts'
import { simpleInstallCommand } from './simple-install-command.ts'

/** `berth simple …`: Berth in a namespace of a cluster, without Helm. */
export function simpleCommand(context: Context): Command {
  return new Command('simple')
    .summary('install Berth in a cluster, as a registry for pushed images')
    .description(
      'Install Berth in a namespace of a cluster, as a registry for images that are pushed to it: the objects of its Helm chart, without Helm. For upstreams, a cache and everything else, install the chart.',
    )
    .addCommand(simpleInstallCommand(context))
    .addCommand(uninstallCommand(context))
    .addCommand(logsCommand(context))
}

type UninstallFlags = AccessOptions & {
  readonly output: 'text' | 'json'
  readonly deleteImages?: boolean
}

function uninstallCommand(context: Context): Command {
  return addAccessOptions(new Command('uninstall'))
    .summary('remove what install made, and keep the images')
    .description(
      'Remove what `simple install` made. The claim with the pushed images stays, and so does the namespace.',
    )
    .option('--delete-images', 'also delete the claim with all pushed images')
    .addOption(outputOption)
    .addHelpText(
      'after',
      `
Examples:
  kubectl berth simple uninstall -n registry
  kubectl berth simple uninstall -n registry --delete-images`,
    )
    .action((flags: UninstallFlags) =>
      untilInterrupted(async (signal) => {
        const { objects, namespace } = await openCluster(flags, context, signal)
        const line = linesFor(flags)
        const removal = await uninstallSimple(objects, {
          namespace,
          withImages: flags.deleteImages === true,
          onRemoved: (what) => line?.(`deleted ${what}`),
        })
        print(flags, { namespace, ...removal }, ({ removed, kept }) =>
          [
            removed.length === 0
              ? `Berth is not installed in namespace ${namespace} by this command`
              : `Berth is removed from namespace ${namespace}`,
            ...kept.map((what) => `kept: ${what}${adviceFor(what, namespace)}`),
          ].join('\n'),
        )
      }),
    )
}

function adviceFor(what: string, namespace: string): string {
  return what.startsWith('PersistentVolumeClaim')
    ? `, with the pushed images (kubectl berth simple uninstall -n ${namespace} --delete-images)`
    : ', which something else manages'
}

function logsCommand(context: Context): Command {
  return addLogOptions(new Command('logs'))
    .summary("write the registry's log")
    .addHelpText(
      'after',
      `
Examples:
  kubectl berth simple logs -n registry --tail 20
  kubectl berth simple logs -n registry --follow`,
    )
    .action((flags: LogFlags) => writeLogs(context, flags, { what: 'Berth', labels: simplePods }))
}
