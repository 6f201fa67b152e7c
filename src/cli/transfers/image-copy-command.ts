import { Command } from 'commander'
import { openRegistryImage } from '../../transfer/transfer.ts'
import {
  addRegistryOptions,
  hasLogin,
  optionsOfSide,
  type RegistryOptions,
  readsStdin,
} from '../login/registry-login.ts'
import { type Context, parseTarget, type Target, withRegistry } from '../login/registry-options.ts'
import { untilInterrupted } from '../output/image-output.ts'
import { outputOption } from '../output/options.ts'
import { UsageError } from '../process/errors.ts'
import { type SendFlags, sendImage, tagOf } from './send-image.ts'

type Flags = RegistryOptions & SendFlags
type Side = { readonly target: Target; readonly options: RegistryOptions }

export function imageCopyCommand(context: Context): Command {
  const command = new Command('copy')
    .summary('copy an image from one repository to another one, in the same or another registry')
    .description(
      'Copy an image with all its platforms. The digest stays. Blobs are mounted within a registry, and sent only if the target lacks them. Each registry has its login: options of one side begin with --from- or --to-. Those without hold for both sides, a login only if both are in the same registry. Without options, the login is that of docker login, or none.',
    )
    .argument('<from>', 'HOST[:PORT]/NAME[:TAG][@DIGEST]')
    .argument('<to>', 'HOST[:PORT]/NAME:TAG')
    .option('-j, --parallel <count>', 'blobs at a time', '3')
    .option('-q, --quiet', 'print no progress')
    .addOption(outputOption)
    .addHelpText('after', examples)
  addRegistryOptions(addRegistryOptions(command, 'from'), 'to')
  return addRegistryOptions(command, 'both').action((from: string, to: string, flags: Flags) =>
    untilInterrupted((signal) => copy(context, { ...sidesOf(from, to, flags), flags, signal })),
  )
}

/** @throws UsageError */
function sidesOf(from: string, to: string, flags: Flags): { from: Side; to: Side } {
  const sides = {
    from: { target: parseTarget(from), options: sideOptions(flags, 'from') },
    to: { target: parseTarget(to), options: sideOptions(flags, 'to') },
  }
  // The danger: both registries would get the credentials of one of them.
  if (sides.from.target.host !== sides.to.target.host && hasLogin(flags))
    throw new UsageError(
      'a login without a side would be sent to both registries: use --from-username, --from-token-file or --from-credentials, and the same with --to-',
    )
  if (readsStdin(optionsOfSide(flags, 'from')) && readsStdin(optionsOfSide(flags, 'to')))
    throw new UsageError('standard input can hold only one secret: use a file for the other one')
  return sides
}

/** The options for both registries, and those of one side in their place. */
function sideOptions(flags: Flags, side: 'from' | 'to'): RegistryOptions {
  const own = optionsOfSide(flags, side)
  const { certificate, plainHttp } = flags
  const shared = {
    ...(certificate !== undefined && { certificate }),
    ...(plainHttp !== undefined && { plainHttp }),
  }
  return hasLogin(own) ? { ...shared, ...own } : { ...flags, ...own }
}

type Copying = {
  readonly from: Side
  readonly to: Side
  readonly flags: Flags
  readonly signal: AbortSignal
}

async function copy(context: Context, { from, to, flags, signal }: Copying): Promise<void> {
  const tags = [tagOf(to.target)]
  const isOneRegistry = from.target.host === to.target.host
  const isOneLogin = isOneRegistry && !hasOwnLogin(flags, 'from') && !hasOwnLogin(flags, 'to')
  const mountFrom = isOneLogin ? from.target.name : undefined
  const open = ({ target: { host }, options }: Side) => ({ ...context, host, options })
  await withRegistry(open(from), async (source) => {
    const image = await openRegistryImage({ remote: source, ...from.target })
    const send = async (remote: typeof source) => {
      for (const { digest } of image.images)
        await sendImage({
          source: image,
          digest,
          remote,
          target: to.target,
          tags,
          flags,
          mountFrom,
          terminal: context.environment['TERM'],
          signal,
        })
    }
    await (isOneLogin ? send(source) : withRegistry(open(to), send))
  })
}

function hasOwnLogin(flags: Flags, side: 'from' | 'to'): boolean {
  return Object.keys(optionsOfSide(flags, side)).length > 0
}

const examples = `
Examples:
  # within a registry: no blob is sent
  berth image copy localhost:30026/local/app:1.2 localhost:30026/local/app:stable
  # between two registries, with a login for each
  berth image copy registry.example/team/app:1.2 localhost:30026/local/app:1.2 \\
    --from-username ci --from-password-file ci.password --to-token-file token`
