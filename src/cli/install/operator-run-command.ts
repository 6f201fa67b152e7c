import { Command } from 'commander'
import type { Context } from '../login/registry-options.ts'
import { collect } from '../output/options.ts'
import { allAddresses } from '../process/all-addresses.ts'
import { UsageError } from '../process/errors.ts'
import { runOperator } from './operator-run.ts'

type Flags = {
  readonly image?: string
  readonly namespace?: string
  readonly imagePullSecret?: readonly string[]
  readonly adminPort: string
  readonly adminHost: string
  readonly logLevel: string
}

/** `berth operator run`, the program of the operator's pods. */
export function operatorRunCommand(context: Context): Command {
  return new Command('run')
    .summary('keep a surrogate beside each Registry of the cluster')
    .description(
      'Keep a surrogate beside each Registry of the cluster, and write into its status whether the registry answers and accepts the login. It runs in a pod, with the rights of its service account; of several replicas one works.',
    )
    .option('--image <image>', 'image of the surrogates (default: that of this pod)')
    .option('--namespace <name>', 'only Registries of this namespace (default: all)')
    .option('--image-pull-secret <name>', 'Secret to pull it, in each namespace', collect)
    .option('--admin-port <port>', 'port of /livez, /readyz and /metrics', '9026')
    .option('--admin-host <address>', 'address of that port', allAddresses())
    .option('--log-level <level>', 'level of the log', 'info')
    .action(async ({ imagePullSecret, adminPort, ...flags }: Flags) => {
      const port = Number(adminPort)
      if (!/^\d+$/.test(adminPort) || port > 65_535)
        throw new UsageError('--admin-port: expected a port')
      await runOperator(context, { ...flags, imagePullSecrets: imagePullSecret ?? [], port })
    })
}
