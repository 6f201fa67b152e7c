import { Command } from 'commander'
import { outputOption } from '../output/options.ts'
import { askRegistryHere, querySocketOption } from './own-registry.ts'
import type { Status } from './status.ts'
import { formatStatus } from './status-texts.ts'

type Options = { readonly output: 'text' | 'json'; readonly socket?: string }

/** `berth status`, where the registry runs. */
export function statusCommand(): Command {
  return new Command('status')
    .summary('print the state of the registry')
    .description(
      'Print the state of the registry that runs here: version, uptime, cache and hit rate, hosted repositories, upstreams with their credentials, transfers in flight, and problems. The exit status is 1 if it is not ready.',
    )
    .addOption(outputOption)
    .addOption(querySocketOption)
    .addHelpText('after', examples)
    .action(async ({ output, socket }: Options) => {
      // Both ends are the same program, as the socket belongs to the container.
      const status = (await askRegistryHere('status', {}, socket)) as Status
      const text = output === 'json' ? JSON.stringify(status) : formatStatus(status, Date.now())
      process.stdout.write(`${text}\n`)
      if (!status.ready) process.exitCode = 1
    })
}

const examples = `
Examples:
  kubectl berth status
  # in the container of the registry
  berth status -o json`
