import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { Command } from 'commander'
import { loadConfig } from '../config/config.ts'
import { putList } from '../in-use/in-use.ts'
import { UsageError } from './errors.ts'
import { hostedRootOf } from './hosted-root.ts'
import { listsDirectory } from './in-use.ts'

type Context = { readonly environment: Record<string, string | undefined> }

/** Bytes of a list that is accepted. */
const maxList = 16 * 1024 * 1024

export function inUseCommand({ environment }: Context): Command {
  const directoryOf = (command: Command): string => {
    const { config: file } = command.optsWithGlobals<{ config?: string }>()
    const { config } = loadConfig({ file, flags: {}, set: [], environment })
    return listsDirectory(hostedRootOf(config))
  }
  const command = new Command('in-use')
    .summary('lists of images that other clusters run')
    .description(
      'Store lists of images that other clusters run. Berth deletes no hosted image on a list, and deletes nothing while a list is older than inUse.listExpiry.',
    )
    .option('--config <file>', 'configuration file of the registry (default: $BERTH_CONFIG)')
    .addHelpText('after', examples)

  command
    .command('put <cluster>')
    .description(
      "Replace a cluster's list: image references on standard input, separated by spaces or newlines.",
    )
    .action(async (cluster: string, _options: object, self: Command) => {
      const list = await text(process.stdin)
      if (Buffer.byteLength(list) > maxList) throw new UsageError('the list is longer than 16 MiB')
      const stored = await putList(directoryOf(self), cluster, list).catch((error: Error) => {
        throw new UsageError(error.message)
      })
      process.stdout.write(`${cluster}: ${stored} images\n`)
    })

  command
    .command('list')
    .description('Print the names of the clusters that have a list.')
    .action(async (_options: object, self: Command) => {
      const names = await readdir(directoryOf(self)).catch(() => [])
      for (const name of names.filter((each) => !each.startsWith('.')).toSorted())
        process.stdout.write(`${name}\n`)
    })

  command
    .command('remove <cluster>')
    .description("Remove a cluster's list: its images may be deleted from then on.")
    .action(async (cluster: string, _options: object, self: Command) => {
      if (!/^[a-z0-9][a-z0-9.-]*$/.test(cluster)) throw new UsageError('invalid name of a cluster')
      await rm(join(directoryOf(self), cluster)).catch(() => {
        throw new UsageError(`there is no list of ${cluster}`)
      })
    })

  return command
}

const examples = `
Examples:
  # store the images of another cluster, for example each ten minutes
  kubectl --context edge get pods -A -o jsonpath='{..image} {..imageID}' |
    kubectl --context main exec -i -n berth deploy/berth -- berth in-use put edge
  # the cluster edge no longer exists
  kubectl exec -n berth deploy/berth -- berth in-use remove edge`
