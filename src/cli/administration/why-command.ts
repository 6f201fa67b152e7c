import { Command } from 'commander'
import type { Why } from '../../why/why.ts'
import { outputOption } from '../output/options.ts'
import { formatWhy } from './format-why.ts'
import { askRegistryHere, querySocketOption } from './own-registry.ts'

type Options = {
  readonly output: 'text' | 'json'
  readonly socket?: string
  readonly short?: boolean
}

/** `berth why IMAGE`, where the registry runs. */
export function whyCommand(): Command {
  return describeWhyCommand(new Command('why'))
    .addOption(querySocketOption)
    .option('--short', 'complete a name without a host as kubectl berth push does')
    .action(async (image: string, { output, socket, short = false }: Options) => {
      // Both ends are the same program, as the socket belongs to the container.
      const why = (await askRegistryHere('why', { image, short }, socket)) as Why
      const text = output === 'json' ? JSON.stringify(why) : formatWhy(why, { now: Date.now() })
      process.stdout.write(`${text}\n`)
      if (why.servedBy === 'nothing') process.exitCode = 1
    })
}

/** What the command is, here and in a cluster. */
export function describeWhyCommand(command: Command): Command {
  return command
    .summary('explain how an image is served')
    .description(
      'Explain how an image is served: its name, the rule that serves it, its upstream and credential, its digest, what of it is in the cache or hosted and for how long, and which workloads run it. Nothing is pulled; of the upstream it asks only whether it answers. The exit status is 1 if the next pull would fail.',
    )
    .argument('<image>', 'image reference as in a pod')
    .addOption(outputOption)
    .addHelpText('after', examples)
}

const examples = `
Examples:
  kubectl berth why localhost:30026/local/app:1.2
  kubectl berth why docker.io/library/busybox -o json
  # in the container of the registry
  berth why my-project/my-repo/app:1.2`
