import { join } from 'node:path'
import { Command } from 'commander'
import {
  ArchiveError,
  archiveBytes,
  chooseChild,
  type ImageSource,
  imageFile,
  unpackImage,
} from '../archive/archive.ts'
import type { Digest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import { openRegistryImage } from '../transfer/transfer.ts'
import { UsageError } from './errors.ts'
import { untilInterrupted } from './image-output.ts'
import { addRegistryOptions, type RegistryOptions } from './registry-login.ts'
import { type Context, parseTarget, type Target, withRegistry } from './registry-options.ts'
import { spoolerRegistry, withSpoolerRegistry } from './spooler-login.ts'
import { writeChunks } from './write-image.ts'

type Options = RegistryOptions & {
  readonly platform?: string
  readonly allPlatforms?: boolean
  readonly unpack?: boolean
  readonly registry?: string
}

/** `berth pull`, and `registry-pull` as the users of Kubernetes Registry Spooler know it. */
export function pullCommand(context: Context): Command {
  return addPullOptions(new Command('pull')).action(pullAction(context))
}

export function addPullOptions(command: Command): Command {
  command
    .summary('write an image of a registry to an archive')
    .description(
      'Write an image to an archive that docker, podman and skopeo read: an OCI layout and a docker archive in one tar file. A file that was pushed as an image comes back with --unpack.',
    )
    .argument('<image>', 'HOST[:PORT]/NAME[:TAG][@DIGEST]; without a host, an image of --registry')
    .argument('[file]', 'the file to write; default or -: standard output')
    .option(
      '-r, --registry <host>',
      'registry of images without a host (default: $REGISTRY_SPOOLER_REGISTRY, else localhost:30026)',
    )
    .option(
      '--platform <os/arch>',
      'platform (default: linux and the architecture of this machine)',
    )
    .option('--all-platforms', 'write all platforms of an index')
    .option(
      '--unpack',
      'write the one file that the image holds, or, to a directory (DIR/), its whole file system, instead of an archive',
    )
    .addHelpText('after', examples)
  return addRegistryOptions(command)
}

export function pullAction(context: Context) {
  return (image: string, file: string | undefined, options: Options): Promise<void> =>
    untilInterrupted(async (signal) => {
      const target = parseTarget(withHost(image, options, context))
      if ((file ?? '-') === '-' && process.stdout.isTTY)
        throw new UsageError('an archive is not written to a terminal: name a file, or redirect')
      const login = withSpoolerRegistry(target.host, options, context.environment)
      await withRegistry({ ...context, host: target.host, options: login }, async (remote) => {
        const source = await openRegistryImage({ remote, ...target })
        await write(source, { target, file, options, signal })
      })
    })
}

function withHost(image: string, { registry }: Options, { environment }: Context): string {
  try {
    return parseTarget(image) && image
  } catch (error) {
    if (!(error instanceof UsageError) && !isRegistryError(error)) throw error
    const host = registry?.replace(/^https?:\/\//, '') ?? spoolerRegistry(environment).host
    return `${host}/${image}`
  }
}

type Writing = {
  readonly target: Target
  readonly file: string | undefined
  readonly options: Options
  readonly signal: AbortSignal
}

async function write(
  source: ImageSource,
  { target, file = '-', options, signal }: Writing,
): Promise<void> {
  const platform = options.platform ?? `linux/${architecture()}`
  const { host, name, reference } = target
  const names = 'tag' in reference ? [`${host}/${name}:${reference.tag}`] : []
  for (const { digest } of source.images) {
    if (options.unpack === true) return unpack(source, digest, { file, platform, signal })
    const root = await source.manifest(digest)
    const child = options.allPlatforms === true ? undefined : chooseChild(root, platform)
    const image = { digest: child?.digest ?? digest, names }
    return writeChunks(archiveBytes(source, [image], { platform, signal }), file, signal)
  }
}

type Unpacking = {
  readonly file: string
  readonly platform: string
  readonly signal: AbortSignal
}

/** An image of one file is that file; any other image needs a directory. */
async function unpack(
  source: ImageSource,
  digest: Digest,
  { file, platform, signal }: Unpacking,
): Promise<void> {
  const isDirectory = file.endsWith('/')
  try {
    const { title, chunks } = await imageFile(source, digest, { platform, signal })
    return await writeChunks(chunks, isDirectory ? join(file, title) : file, signal)
  } catch (error) {
    if (!(error instanceof ArchiveError) || error.fault !== 'not-an-image') throw error
    if (!isDirectory)
      throw new UsageError(
        'the image holds more than one file: to unpack all of them, name a new directory, with / at its end',
      )
  }
  const { skipped } = await unpackImage(source, digest, { directory: file, platform, signal })
  if (skipped > 0) process.stderr.write(`${skipped} devices and FIFOs were not created\n`)
}

/** Go's names. */
function architecture(): string {
  return { x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch
}

const examples = `
Examples:
  berth pull localhost:30026/local/app:1.2 app.tar
  berth pull localhost:30026/local/app:1.2 | docker load
  berth pull --unpack localhost:30026/local/model:3 model.bin
  berth pull --unpack localhost:30026/local/app:1.2 app/
  # in the container of a spooler
  registry-pull local/app:1.2 app.tar`
