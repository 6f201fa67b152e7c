import { Command } from 'commander'
import { describeWhyCommand } from '../administration/why-command.ts'
import type { Context } from '../login/registry-options.ts'
import { UsageError } from '../process/errors.ts'
import { addClusterOptions, type ClusterOptions } from './cluster-options.ts'
import { runBerthInRegistry } from './cluster-programs.ts'
import { openUserAccess } from './user-access.ts'

type Flags = ClusterOptions & { readonly output: 'text' | 'json' }

/** `kubectl berth why`: the command runs in a pod of the registry, which takes the right to exec, and no login. */
export function clusterWhyCommand({ environment }: Context): Command {
  const command = addClusterOptions(describeWhyCommand(new Command('why')))
  return command.action(async (image: string, flags: Flags) => {
    if (flags.registry !== undefined)
      throw new UsageError(
        `why is about images of Berth itself; about a Registry: kubectl berth doctor --registry ${flags.registry}`,
      )
    const access = await openUserAccess(flags, environment)
    const words = ['why', '--short', '--output', flags.output, '--', image]
    const { stdout, stderr, exitCode } = await runBerthInRegistry(access, flags, words)
    process.stdout.write(stdout)
    if (stdout === '') process.stderr.write(`${stderr}\n`)
    process.exitCode = exitCode
  })
}
