import { Command, Option } from 'commander'
import { fileAsImage, type ImageSource, openImageArchive } from '../archive/archive.ts'
import { parseTag, type Tag } from '../oci/reference.ts'
import { openRegistryImage, type Pushed, pushImage } from '../transfer/transfer.ts'
import { UsageError } from './errors.ts'
import { abortOnSignals, type Printing, print } from './image-output.ts'
import { outputOption } from './options.ts'
import {
  addRegistryOptions,
  type Context,
  parseTarget,
  type RegistryOptions,
  type Target,
  withRegistry,
} from './registry-options.ts'
import { createTransferProgress, formatSize } from './transfer-progress.ts'

type PushFlags = RegistryOptions &
  Printing & {
    readonly file?: boolean
    readonly compression: 'gzip' | 'none'
    readonly image?: string
    readonly parallel: string
  }

export function imagePushCommand(context: Context): Command {
  const command = new Command('push')
    .summary('push an archive, an OCI layout or a file')
    .description(
      'Push a docker archive (`docker save`), an OCI layout (directory or tar file; also .tar.gz and .tar.zst) or, with --file, any file as an image of one layer. Only blobs that the registry lacks are sent.',
    )
    .argument('<source>', 'path of the archive, directory or file')
    .argument('<image>', 'HOST[:PORT]/NAME:TAG')
    .argument('[tags...]', 'more tags of the same repository')
    .option('--file', 'push the source as a file, whatever it contains')
    .option('--image <name>', 'which image of an archive of several')
    .addOption(
      new Option('--compression <kind>', 'compression of layers that are not compressed')
        .choices(['gzip', 'none'])
        .default('gzip'),
    )
    .option('-j, --parallel <count>', 'blobs at a time', '3')
    .option('-q, --quiet', 'print no progress')
    .addOption(outputOption)
    .addHelpText('after', pushExamples)
  return addRegistryOptions(command).action(
    async (path: string, image: string, more: readonly string[], flags: PushFlags) => {
      const target = parseTarget(image)
      const tags = [...tagsOf(target), ...more.map(parseTag)]
      const signal = abortOnSignals()
      const source = flags.file
        ? await fileAsImage(path, { signal })
        : await openImageArchive(path, { compression: flags.compression, signal })
      try {
        const { digest } = choose(source, flags.image, path)
        await push(context, { source, digest, target, tags, flags, signal })
      } finally {
        await source.close()
      }
    },
  )
}

function tagsOf({ reference }: Target): readonly Tag[] {
  if ('tag' in reference) return [reference.tag]
  throw new UsageError('a push needs a tag: the digest follows from the image')
}

/** @throws UsageError if the archive has several images and none is chosen. */
function choose({ images }: ImageSource, wanted: string | undefined, path: string) {
  const found =
    wanted === undefined
      ? images
      : images.filter(({ names, digest }) => digest === wanted || names.includes(wanted))
  const [image] = found
  if (image !== undefined && found.length === 1) return image
  const names = images.flatMap(({ names: all, digest }) => (all.length > 0 ? all : [digest]))
  throw new UsageError(
    `${path} has ${found.length === 0 ? 'no such image' : 'several images'}: choose one with --image: ${names.join(', ')}`,
  )
}

type Push = {
  readonly source: ImageSource
  readonly digest: Parameters<ImageSource['manifest']>[0]
  readonly target: Target
  readonly tags: readonly Tag[]
  readonly flags: RegistryOptions & Printing & { readonly parallel: string }
  readonly mountFrom?: Target['name'] | undefined
  readonly signal: AbortSignal
}

async function push(context: Context, options: Push): Promise<void> {
  const { source, digest, target, tags, flags, mountFrom, signal } = options
  const isQuiet = flags.quiet === true || flags.output === 'json'
  const write = (line: string) => void process.stderr.write(`${line}\n`)
  await withRegistry({ ...context, host: target.host, options: flags }, async (remote) => {
    const pushed = await pushImage({
      source,
      image: digest,
      remote,
      name: target.name,
      tags,
      mountFrom,
      parallel: parseCount(flags.parallel),
      onProgress: isQuiet ? undefined : createTransferProgress({ write }),
      signal,
    })
    print(flags, report(target, tags, pushed), describePush)
  })
}

type PushReport = Pushed & { readonly image: string; readonly tags: readonly Tag[] }

function report({ host, name }: Target, tags: readonly Tag[], pushed: Pushed): PushReport {
  return { image: `${host}/${name}@${pushed.digest}`, tags, ...pushed }
}

function describePush({ image, tags, sent, present }: PushReport): string {
  return `${image}\ntags: ${tags.join(', ')}; sent ${formatSize(sent)}, the registry had ${formatSize(present)}`
}

function parseCount(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1 || count > 64)
    throw new UsageError('--parallel: expected a number from 1 to 64')
  return count
}

export function imageCopyCommand(context: Context): Command {
  const command = new Command('copy')
    .summary('copy an image from one repository to another one, in the same or another registry')
    .argument('<from>', 'HOST[:PORT]/NAME[:TAG][@DIGEST]')
    .argument('<to>', 'HOST[:PORT]/NAME:TAG')
    .option('-j, --parallel <count>', 'blobs at a time', '3')
    .option('-q, --quiet', 'print no progress')
    .addOption(outputOption)
  return addRegistryOptions(command).action(
    async (
      from: string,
      to: string,
      flags: RegistryOptions & Printing & { readonly parallel: string },
    ) => {
      const source = parseTarget(from)
      const target = parseTarget(to)
      // The danger: both registries would get the credentials of one of them.
      const hasLogin = flags.username !== undefined || flags.credentials !== undefined
      if (source.host !== target.host && hasLogin)
        throw new UsageError(
          'a login on the command line would be sent to both registries; log in to each with docker login, or copy with berth pull and berth image push',
        )
      const signal = abortOnSignals()
      await withRegistry({ ...context, host: source.host, options: flags }, async (remote) => {
        const opened = await openRegistryImage({ remote, ...source })
        const mountFrom = source.host === target.host ? source.name : undefined
        for (const { digest } of opened.images) {
          const tags = tagsOf(target)
          await push(context, { source: opened, digest, target, tags, flags, mountFrom, signal })
        }
      })
    },
  )
}

const pushExamples = `
Examples:
  # what docker saved
  docker save app:1.2 -o app.tar && berth image push app.tar localhost:30026/local/app:1.2
  # an OCI layout, under two tags, as a user of the htpasswd file
  berth image push ./layout registry.example/team/app:1.2 latest -u ci --password-file /run/secrets/password
  # any file, which a pod mounts as an image volume
  berth image push --file model.bin localhost:30026/local/model:3`
