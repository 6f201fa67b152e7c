import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Command, Option } from 'commander'
import {
  ArchiveError,
  type ArchiveFormat,
  archiveBytes,
  chooseChild,
  type ImageSource,
  platformsOf,
  type SourceManifest,
  titledFiles,
  unpackImage,
  writeLayout,
} from '../../archive/archive.ts'
import type { Digest } from '../../oci/digest.ts'
import { isRegistryError } from '../../oci/errors.ts'
import { isForPlatform } from '../../oci/platform.ts'
import { announceImage, openRegistryImage, watchReads } from '../../transfer/transfer.ts'
import { ownPlatform } from '../images/platforms.ts'
import { addRegistryOptions, type RegistryOptions } from '../login/registry-login.ts'
import { type Context, parseTarget, type Target, withRegistry } from '../login/registry-options.ts'
import { spoolerRegistry, withSpoolerRegistry } from '../login/spooler-login.ts'
import { untilInterrupted } from '../output/image-output.ts'
import { UsageError } from '../process/errors.ts'
import { openBars } from './progress-display.ts'
import type { ProgressDisplay } from './transfer-progress.ts'
import { writeChunks, writeFileWhole, writing } from './write-image.ts'

type Options = RegistryOptions & {
  readonly platform?: string
  readonly allPlatforms?: boolean
  readonly format: ArchiveFormat
  readonly unpack?: boolean
  readonly registry?: string
  readonly quiet?: boolean
}

/** `berth pull`, and `registry-pull` as the users of Kubernetes Registry Spooler know it. */
export function pullCommand(context: Context): Command {
  const command = new Command('pull')
  // For a cluster, the option names a Registry resource.
  if (!('tunnel' in context)) addRegistryOption(command)
  return addPullOptions(command).action(pullAction(context))
}

function addPullOptions(command: Command): Command {
  command
    .summary('write an image of a registry to an archive')
    .description(
      'Write an image to an archive that docker, podman and skopeo read: an OCI layout and a docker archive in one tar file. FILE/ with a slash at its end is a directory: an OCI layout. Files that were pushed, as an image or as an artifact, come back with --unpack. A file or directory appears when it is complete.',
    )
    .argument('<image>', 'HOST[:PORT]/NAME[:TAG][@DIGEST]; without a host, an image of --registry')
    .argument('[file]', 'the file to write; default or -: standard output')
    .addOption(
      new Option('--format <format>', 'a docker archive, an OCI layout, or both in one')
        .choices(['both', 'docker', 'oci'])
        .default('both'),
    )
    .option(
      '--platform <os/arch>',
      'platform (default: linux and the architecture of this machine, else the first)',
    )
    .option('--all, --all-platforms', 'write all platforms of an index')
    .option(
      '--unpack',
      'write the file that the image holds or, to a directory (DIR/), its files or its whole file system, instead of an archive',
    )
    .option('-q, --quiet', 'print no progress')
    .addHelpText('after', examples)
  return addRegistryOptions(command)
}

function pullAction(context: Context) {
  return (image: string, file: string | undefined, options: Options): Promise<void> =>
    untilInterrupted(async (signal) => {
      const target = parseTarget(withHost(image, options, context))
      checkOptions(file ?? '-', options)
      const login = withSpoolerRegistry(target.host, options, context.environment)
      await withRegistry({ ...context, host: target.host, options: login }, async (remote) => {
        const flags = { output: 'text', quiet: options.quiet === true } as const
        const bars = openBars({ flags, terminal: context.environment['TERM'] })
        const opened = await openRegistryImage({ remote, ...target })
        const source = bars === undefined ? opened : watchReads(opened, bars.update)
        try {
          await write(source, { target, file, options, bars, signal })
        } finally {
          bars?.close()
        }
      })
    })
}

function addRegistryOption(command: Command): Command {
  return command.option(
    '-r, --registry <host>',
    'registry of images without a host (default: $REGISTRY_SPOOLER_REGISTRY, else localhost:30026)',
  )
}

/** @throws UsageError */
function checkOptions(file: string, { format, allPlatforms, platform, unpack }: Options): void {
  if (file === '-' && process.stdout.isTTY)
    throw new UsageError('an archive is not written to a terminal: name a file, or redirect')
  if (allPlatforms === true && (platform !== undefined || unpack === true || format === 'docker'))
    throw new UsageError('--all-platforms excludes --platform, --unpack and --format docker')
  if (unpack !== true && file.endsWith('/') && format === 'docker')
    throw new UsageError('a docker archive is a file: only an OCI layout can be a directory')
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
  readonly bars: ProgressDisplay | undefined
  readonly signal: AbortSignal
}

async function write(
  source: ImageSource,
  { target, file = '-', options, bars, signal }: Writing,
): Promise<void> {
  const { format, allPlatforms } = options
  const platform = options.platform ?? ownPlatform()
  const { host, name, reference } = target
  const names = 'tag' in reference ? [`${host}/${name}:${reference.tag}`] : []
  for (const { digest } of source.images) {
    const root = await source.manifest(digest)
    if (options.platform !== undefined) assertPlatform(root, options.platform)
    const child = allPlatforms === true ? undefined : chooseChild(root, platform)
    const chosen = child?.digest ?? digest
    if (bars !== undefined) await announceImage(source, chosen, bars.update)
    if (options.unpack === true) return unpack(source, digest, { file, platform, signal })
    const images = [{ digest: chosen, names }]
    if (file.endsWith('/'))
      return writing(file, writeLayout(source, images, { directory: file, platform, signal }))
    return writeChunks(archiveBytes(source, images, { platform, format, signal }), file, signal)
  }
}

/** @throws UsageError if an index has no image for the platform that was asked for. */
function assertPlatform(index: SourceManifest, wanted: string): void {
  const platforms = platformsOf(index)
  if (platforms?.some((platform) => isForPlatform(platform, wanted)) === false)
    throw new UsageError(`the image is not for ${wanted}, but for ${platforms.join(', ')}`)
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
  const files = await filesOf(source, digest, { platform, signal })
  const [first, ...others] = files
  if (!isDirectory && (first === undefined || others.length > 0))
    throw new UsageError(
      'the image holds more than one file: to unpack all of them, name a directory, with / at its end',
    )
  if (first !== undefined && !isDirectory) return writeChunks(first.chunks, file, signal)
  for (const { title, chunks } of files) {
    await mkdir(dirname(join(file, title)), { recursive: true })
    await writeFileWhole(chunks, join(file, title), signal)
  }
  if (files.length > 0) return
  const unpacked = unpackImage(source, digest, { directory: file, platform, signal })
  const { skipped } = await writing(file, unpacked)
  if (skipped > 0) process.stderr.write(`${skipped} devices and FIFOs were not created\n`)
}

/** Empty for an image that is a file system. */
async function filesOf(
  source: ImageSource,
  digest: Digest,
  options: Parameters<typeof titledFiles>[2],
): Promise<Awaited<ReturnType<typeof titledFiles>>> {
  try {
    return await titledFiles(source, digest, options)
  } catch (error) {
    if (!(error instanceof ArchiveError) || error.fault !== 'not-an-image') throw error
    return []
  }
}

const examples = `
Examples:
  berth pull localhost:30026/local/app:1.2 app.tar
  berth pull localhost:30026/local/app:1.2 | docker load
  # an OCI layout, for skopeo or another registry
  berth pull --all --format oci localhost:30026/local/app:1.2 app.oci.tar
  berth pull --platform linux/arm64 localhost:30026/local/app:1.2 layout/
  # what was pushed with berth image push --file, or with oras push
  berth pull --unpack localhost:30026/local/model:3 model.bin
  berth pull --unpack localhost:30026/local/app:1.2 app/
  # in the container of a spooler
  registry-pull local/app:1.2 app.tar`
