import { text } from 'node:stream/consumers'
import { Command } from 'commander'
import { loadConfig } from '../../config/config.ts'
import { type ListPlace, putList } from '../../in-use/in-use.ts'
import { createOutbound } from '../../outbound/outbound.ts'
import { createTelemetry } from '../../telemetry/telemetry.ts'
import { UsageError } from '../process/errors.ts'
import { openLists } from './in-use-lists.ts'

type Context = { readonly environment: Record<string, string | undefined> }

/** Bytes of a list that is accepted. */
const maxList = 16 * 1024 * 1024

export function inUseCommand({ environment }: Context): Command {
  const withLists = async (
    command: Command,
    work: (lists: ListPlace) => Promise<unknown>,
  ): Promise<void> => {
    const { config: file } = command.optsWithGlobals<{ config?: string }>()
    const { config, ambient } = loadConfig({ file, flags: {}, set: [], environment })
    const telemetry = createTelemetry({ level: 'silent' })
    const outbound = createOutbound(ambient)
    const lists = await openLists({ config, ambient, outbound, telemetry })
    try {
      await work(lists)
    } catch (error) {
      throw new UsageError(error instanceof Error ? error.message : String(error))
    } finally {
      await lists.close()
    }
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
      await withLists(self, async (lists) => {
        const stored = await putList(lists, cluster, list)
        process.stdout.write(`${cluster}: ${stored} images\n`)
      })
    })

  command
    .command('list')
    .description('Print the names of the clusters that have a list.')
    .action(async (_options: object, self: Command) => {
      await withLists(self, async (lists) => {
        const names = (await lists.list()).map(({ cluster }) => cluster)
        for (const name of names.toSorted()) process.stdout.write(`${name}\n`)
      })
    })

  command
    .command('remove <cluster>')
    .description("Remove a cluster's list: its images may be deleted from then on.")
    .action(async (cluster: string, _options: object, self: Command) => {
      if (!/^[a-z0-9][a-z0-9.-]*$/.test(cluster)) throw new UsageError('invalid name of a cluster')
      await withLists(self, async (lists) => {
        if (!(await lists.remove(cluster))) throw new Error(`there is no list of ${cluster}`)
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
