import { type Command, Option } from 'commander'

/** Which registry in which cluster, as options of kubectl name it. */
export type ClusterOptions = {
  readonly namespace?: string
  readonly context?: string
  readonly kubeconfig?: string
  readonly registry?: string
  readonly selector?: string
  readonly verbose?: boolean
  /** Not in a cluster but in this container: as pods name it, such as `localhost:30026`. */
  readonly inPod?: string
  /** Of that registry. */
  readonly socket?: string
}

export function addClusterOptions(command: Command): Command {
  return command
    .option(
      '-n, --namespace <name>',
      'namespace of the registry (default: that of the context, else where one is found)',
    )
    .option('--context <name>', 'context of the kubeconfig')
    .option('--kubeconfig <file>', 'kubeconfig (default: $KUBECONFIG, else ~/.kube/config)')
    .option(
      '--registry <name>',
      'a Registry resource, through its surrogate (default: Berth itself)',
    )
    .option('--selector <labels>', "labels of the registry's pods, if they are not the chart's")
    .option('-v, --verbose', 'print what happens to the connection')
    .addOption(
      new Option(
        '--in-pod <host>',
        'the registry that runs in this container, for the script of berth shim',
      ).hideHelp(),
    )
    .addOption(
      new Option('--socket <path>', 'socket of that registry (default: the only one)').hideHelp(),
    )
}
