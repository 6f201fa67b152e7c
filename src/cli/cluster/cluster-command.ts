import { basename } from 'node:path'
import type { Command } from 'commander'
import { evictCommand } from '../cached-images/evict-command.ts'
import { pinCommand, unpinCommand } from '../cached-images/pin-command.ts'
import { prefetchCommand } from '../cached-images/prefetch-command.ts'
import { refreshCommand } from '../cached-images/refresh-command.ts'
import { imageDeleteCommand } from '../images/image-delete-command.ts'
import { imageInspectCommand } from '../images/image-inspect-command.ts'
import { imageListCommand } from '../images/image-list-command.ts'
import type { Context } from '../login/registry-options.ts'
import {
  addServiceAccountOptions,
  type ServiceAccountOptions,
} from '../login/service-account-login.ts'
import type { Printing } from '../output/image-output.ts'
import { UsageError } from '../process/errors.ts'
import { imageCopyCommand } from '../transfers/image-copy-command.ts'
import { imagePushCommand } from '../transfers/image-push-command.ts'
import { isPlainFile } from '../transfers/plain-file.ts'
import { pullCommand } from '../transfers/pull-command.ts'
import { clusterName, nameOfSource, withTag } from './cluster-names.ts'
import { addClusterOptions, type ClusterOptions } from './cluster-options.ts'
import { type ClusterRegistry, openClusterRegistry } from './cluster-registry.ts'
import { createStateLines } from './connection-lines.ts'

type Registry = Pick<ClusterRegistry, 'host' | 'hosted'>
type Arguments = readonly unknown[]

type Verb = {
  readonly create: (context: Context) => Command
  /** The arguments, with names of images in full. */
  readonly inFull: (args: Arguments, registry: Registry) => Arguments
  readonly example: string
  /** Which names there are, besides full ones. */
  readonly names?: string
}

const image = (text: unknown, registry: Registry) =>
  typeof text === 'string' ? clusterName(withTag(text), registry) : text

const hostedNames = 'Names without a host are in its hosted repositories'
const upstreamNames = 'Names begin with the prefix of their upstream'

/** Images of upstreams: `docker.io/library/busybox` is in the registry, below its host. */
const cachedImages = ([names]: Arguments, { host }: Registry): Arguments => [
  Array.isArray(names)
    ? names.map((name: string) => (name.startsWith(`${host}/`) ? name : `${host}/${name}`))
    : names,
]

/** The commands of `berth image`, for a registry in a cluster that is reached through the API server. */
const verbs = {
  push: {
    create: imagePushCommand,
    inFull: ([source, name, tags], registry) => [source, image(name, registry), tags],
    example: 'kubectl berth push app:1.2',
  },
  pull: {
    create: pullCommand,
    inFull: ([name, file], registry) => [image(name, registry), file],
    example: 'kubectl berth pull app:1.2 app.tar',
  },
  list: {
    create: imageListCommand,
    inFull: ([what], registry) => [
      typeof what === 'string' ? clusterName(what, registry) : registry.host,
    ],
    example: 'kubectl berth list app',
  },
  delete: {
    create: imageDeleteCommand,
    inFull: ([names], registry) => [
      Array.isArray(names) ? names.map((name: string) => clusterName(name, registry)) : names,
    ],
    example: 'kubectl berth delete app:1.1',
  },
  copy: {
    create: imageCopyCommand,
    inFull: ([from, to], registry) => [image(from, registry), image(to, registry)],
    example: 'kubectl berth copy app:1.2 app:stable',
  },
  inspect: {
    create: imageInspectCommand,
    inFull: ([name], registry) => [image(name, registry)],
    example: 'kubectl berth inspect app:1.2',
  },
  refresh: {
    create: refreshCommand,
    inFull: cachedImages,
    names: upstreamNames,
    example: 'kubectl berth refresh docker.io/library/busybox',
  },
  prefetch: {
    create: prefetchCommand,
    inFull: cachedImages,
    names: upstreamNames,
    example: 'kubectl berth prefetch docker.io/library/busybox',
  },
  pin: {
    create: pinCommand,
    inFull: cachedImages,
    names: upstreamNames,
    example: 'kubectl berth pin docker.io/library/busybox',
  },
  unpin: {
    create: unpinCommand,
    inFull: cachedImages,
    names: upstreamNames,
    example: 'kubectl berth unpin docker.io/library/busybox',
  },
  evict: {
    create: evictCommand,
    inFull: cachedImages,
    names: upstreamNames,
    example: 'kubectl berth evict docker.io/library/busybox',
  },
} as const satisfies Readonly<Record<string, Verb>>

export type ClusterVerb = keyof typeof verbs

/** Milliseconds for which a command waits for a connection that broke. */
const maxOutage = 2 * 60_000

/** `onExit`: is called when the command has ended, in whatever way. */
export function clusterCommand(
  verb: ClusterVerb,
  context: Context,
  onExit: (close: () => Promise<void>) => void,
): Command {
  const { create, inFull, example, names = hostedNames }: Verb = verbs[verb]
  let registry: ClusterRegistry | undefined
  const command = create({
    ...context,
    get tunnel() {
      return registry
    },
  })
  if (verb === 'push') command.registeredArguments[1]?.argOptional()
  command.summary(`${command.summary()}; in a cluster`)
  command.addHelpText(
    'after',
    `\nThe registry is found in the cluster and reached through its API server. ${names}:\n  ${example}`,
  )
  command.hook('preAction', async (_, action) => {
    const flags = action.opts<ClusterOptions & ServiceAccountOptions & Printing>()
    const args = action.processedArgs
    if (verb === 'push') args[1] ??= await nameOfImage(args[0])
    const onState = createStateLines(flags)
    registry = await openClusterRegistry({ ...context, options: flags, maxOutage, onState })
    onExit(registry.close)
    if (flags.verbose === true) process.stderr.write(`connected to ${registry.description}\n`)
    action.processedArgs = [...inFull(args, registry), ...args.slice(inFull(args, registry).length)]
  })
  if (verb === 'push')
    command.hook('postAction', (_, action) => {
      const { output } = action.opts<Printing>()
      if (output === 'text') process.stdout.write(`image: ${action.processedArgs[1]}\n`)
    })
  return addServiceAccountOptions(addClusterOptions(command))
}

/** An image of a store has a name of its own, and a file that of itself; an archive has none. */
async function nameOfImage(source: string): Promise<string> {
  const fileName = basename(source)
  if (await isPlainFile(source)) {
    if (/^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/.test(fileName)) return fileName
    throw new UsageError(
      `${fileName} is no name of a repository, which has lower-case letters and digits: name the image, such as: push ${source} files/app:1.2`,
    )
  }
  if (/^[./~]|\.(?:tar|tgz|gz|zst)$/.test(source) || /^[a-z-]+:\/\/\//.test(source))
    throw new UsageError(`name the image of ${source}, such as: push ${source} app:1.2`)
  return nameOfSource(source)
}
