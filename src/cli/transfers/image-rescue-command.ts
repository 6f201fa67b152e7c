import { Command } from 'commander'
import { formatSize } from '../../oci/amounts.ts'
import {
  type ContainerdImage,
  type FoundImage,
  findImages,
  type OpenedContainerd,
  openContainerd,
  openContainerdImage,
  partition,
} from '../../stores/stores.ts'
import { addRegistryOptions, type RegistryOptions } from '../login/registry-login.ts'
import { type Context, withRegistry } from '../login/registry-options.ts'
import { type Printing, print, untilInterrupted } from '../output/image-output.ts'
import { outputOption } from '../output/options.ts'
import { UsageError } from '../process/errors.ts'
import { type Rescued, rescueImage } from './rescue-image.ts'
import { listRescuable } from './rescue-list.ts'
import { parseWanted, type RescueTarget, rescueTarget, type Wanted } from './rescue-target.ts'
import { parseParallel } from './send-image.ts'

type RescueFlags = RegistryOptions &
  Printing & {
    readonly list?: boolean
    readonly registry?: string
    readonly address?: string
    readonly namespace?: string
    readonly parallel: string
  }

/** `berth image rescue`: back into a registry from a node that still has an image. */
export function imageRescueCommand(context: Context): Command {
  const command = new Command('rescue')
    .summary('push an image that a node still has back into a registry')
    .description(
      'Push an image that the containerd of this machine still has into a registry, for example after it was deleted there. All digests stay. It needs the right to use the socket of containerd, which is that of root.',
    )
    .argument(
      '[image]',
      'IMAGE, IMAGE@DIGEST or DIGEST; with --list: only names that begin with this',
    )
    .argument(
      '[target]',
      'HOST[:PORT]/NAME[:TAG] (default: the name that the image has on the node)',
    )
    .option('--list', 'list the images of the node that their registry does not have any more')
    .option('--registry <host>', 'HOST[:PORT][/PREFIX] of another registry, in place of TARGET')
    .option(
      '--address <socket>',
      'socket of containerd (default: $CONTAINERD_ADDRESS, else the usual ones)',
    )
    .option('-n, --namespace <name>', 'only this name space of containerd (default: all)')
    .option('-j, --parallel <count>', 'blobs at a time', '3')
    .option('-q, --quiet', 'print no progress')
    .addOption(outputOption)
    .addHelpText('after', examples)
  return addRegistryOptions(command).action(
    (image: string | undefined, target: string | undefined, flags: RescueFlags) =>
      untilInterrupted(async (signal) => {
        const { environment } = context
        const { address, namespace } = flags
        const opened = await openContainerd({ environment, address, namespace })
        try {
          if (flags.list === true) await listRescuable(context, { opened, image, flags, signal })
          else await rescue(context, { opened, image, target, flags, signal })
        } finally {
          opened.containerd.close()
        }
      }),
  )
}

type Rescue = {
  readonly opened: OpenedContainerd
  readonly image: string | undefined
  readonly target: string | undefined
  readonly flags: RescueFlags
  readonly signal: AbortSignal
}

async function rescue(context: Context, { opened, image, target, flags, signal }: Rescue) {
  if (image === undefined)
    throw new UsageError('name an image or a digest; --list shows those that are to be rescued')
  if (target !== undefined && flags.registry !== undefined)
    throw new UsageError('TARGET and --registry exclude each other')
  const parallel = parseParallel(flags.parallel)
  const wanted = parseWanted(image)
  const found = await findImages(opened, wanted.query)
  if (found.length === 0) throw notFound(opened, image)
  const best = await openBest(opened, { found, signal })
  try {
    const to = rescueTarget(best.found, { wanted, target, registry: flags.registry })
    await withRegistry({ ...context, host: to.host, options: flags }, async (remote) => {
      const rescued = await rescueImage({
        image: best.image,
        remote,
        target: to,
        parallel,
        flags,
        signal,
      })
      print(flags, report(to, rescued, best.found), (printed) => describe(printed, wanted))
    })
  } finally {
    await best.image.source.close()
  }
}

function notFound({ containerd, namespaces }: OpenedContainerd, image: string): UsageError {
  return new UsageError(
    `containerd at ${containerd.address} does not have ${image} (name spaces: ${namespaces.join(', ') || 'none'})`,
  )
}

type Best = { readonly found: FoundImage; readonly image: ContainerdImage }

/** Name spaces do not share what they have: the one with the most is the best. */
async function openBest(
  { containerd }: OpenedContainerd,
  { found, signal }: { readonly found: readonly FoundImage[]; readonly signal: AbortSignal },
): Promise<Best> {
  let best: Best | undefined
  let problem: unknown
  for (const each of found) {
    try {
      const image = await openContainerdImage({ containerd, image: each, signal })
      const isBetter = best === undefined || wholeIn(image) > wholeIn(best.image)
      await (isBetter ? best?.image : image)?.source.close()
      if (isBetter) best = { found: each, image }
    } catch (error) {
      problem ??= error
    }
  }
  if (best === undefined) throw problem
  return best
}

function wholeIn(image: ContainerdImage): number {
  return partition(image).whole.length
}

type Report = Rescued & {
  readonly image: string
  /** Of containerd. */
  readonly namespace: string
}

function report({ host, name }: RescueTarget, rescued: Rescued, found: FoundImage): Report {
  const { namespace } = found
  return { image: `${host}/${name}@${rescued.digest}`, namespace, ...rescued }
}

function describe(report: Report, { query }: Wanted): string {
  const { image, tags, otherTags, sent, present, missing, digest } = report
  const lines = [
    image,
    `tags: ${tags.join(', ') || 'none'}; sent ${formatSize(sent)}, the registry had ${formatSize(present)}`,
  ]
  if ('digest' in query && query.digest !== digest)
    lines.push(`${query.digest} is the ID of this image`)
  if (otherTags.length > 0)
    lines.push(
      `not set, because the registry has other images there: ${otherTags.join(', ')}; to set a tag, name it in TARGET`,
    )
  if (missing.length > 0)
    lines.push(`the index is incomplete: this node does not have ${missing.join(', ')}`)
  return lines.join('\n')
}

const examples = `
Examples, as root on a node:
  # what was deleted from the registry, but is still here
  berth image rescue --list localhost:30026/
  # back to where it was
  berth image rescue localhost:30026/local/app:1.2
  # an image of another registry, as localhost:30026/local/team/app
  berth image rescue registry.example/team/app@sha256:… --registry localhost:30026/local`
