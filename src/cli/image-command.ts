import { Command, Option } from 'commander'
import { fileAsImage, type ImageSource, openImageArchive } from '../archive/archive.ts'
import { parseTag, type Tag } from '../oci/reference.ts'
import { createTelemetry } from '../telemetry/telemetry.ts'
import { openRegistryImage, type Pushed, pushImage } from '../transfer/transfer.ts'
import { UsageError } from './errors.ts'
import { abortOnSignals, type Printing, print } from './image-output.ts'
import { outputOption } from './options.ts'
import { addPullOptions, pullAction } from './pull-command.ts'
import {
  addRegistryOptions,
  type Context,
  openRegistry,
  parseRepository,
  parseTarget,
  type RegistryOptions,
  type Target,
} from './registry-options.ts'
import { createTransferProgress, formatSize } from './transfer-progress.ts'

type PushFlags = RegistryOptions &
  Printing & {
    readonly file?: boolean
    readonly compression: 'gzip' | 'none'
    readonly image?: string
    readonly parallel: string
  }

/** `berth image …`: images between archives and registries. */
export function imageCommand(context: Context): Command {
  return new Command('image')
    .summary('push, pull, list, delete, copy and inspect images of a registry')
    .description(
      'Push, pull, list, delete, copy and inspect images of any OCI registry. Images are named HOST[:PORT]/NAME[:TAG][@DIGEST].',
    )
    .addCommand(pushCommand(context))
    .addCommand(addPullOptions(new Command('pull')).action(pullAction(context)))
    .addCommand(listCommand(context))
    .addCommand(deleteCommand(context))
    .addCommand(copyCommand(context))
    .addCommand(inspectCommand(context))
}

function pushCommand(context: Context): Command {
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
  const { remote } = await openRegistry({
    ...context,
    host: target.host,
    options: flags,
    telemetry: createTelemetry({ level: 'silent' }),
  })
  const isQuiet = flags.quiet === true || flags.output === 'json'
  try {
    const pushed = await pushImage({
      source,
      image: digest,
      remote,
      name: target.name,
      tags,
      mountFrom,
      parallel: parseCount(flags.parallel),
      onProgress: isQuiet
        ? undefined
        : createTransferProgress({ write: (line) => process.stderr.write(`${line}\n`) }),
      signal,
    })
    print(flags, report(target, tags, pushed), describePush)
  } finally {
    await remote.close()
  }
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

function listCommand(context: Context): Command {
  const command = new Command('list')
    .summary('list the tags of a repository')
    .argument('<repository>', 'HOST[:PORT]/NAME')
    .option('--digests', 'also print the digest of each tag; one request for each')
    .addOption(outputOption)
  return addRegistryOptions(command).action(
    async (
      repository: string,
      flags: RegistryOptions & Printing & { readonly digests?: boolean },
    ) => {
      const { host, name } = parseRepository(repository)
      const { remote } = await openRegistry({
        ...context,
        host,
        options: flags,
        telemetry: createTelemetry({ level: 'silent' }),
      })
      try {
        const tags = []
        for (let last: string | undefined, isFirst = true; isFirst || last !== undefined; ) {
          const page = await remote.tags(name, last === undefined ? {} : { last })
          if (page === undefined) throw new UsageError(`${host} has no repository ${name}`)
          for (const tag of page.tags) {
            const found = flags.digests === true ? await remote.resolve(name, tag) : undefined
            if (typeof found === 'object') found.release()
            const digest = typeof found === 'object' ? found.digest : found
            tags.push({ tag, ...(digest !== undefined && { digest }) })
          }
          last = page.next
          isFirst = false
        }
        print(flags, { repository: `${host}/${name}`, tags }, (listed) =>
          listed.tags.map(({ tag, digest = '' }) => `${tag}\t${digest}`.trimEnd()).join('\n'),
        )
      } finally {
        await remote.close()
      }
    },
  )
}

function deleteCommand(context: Context): Command {
  const command = new Command('delete')
    .summary('remove a tag, or a manifest by its digest')
    .description(
      'Remove a tag: the image stays, under its digest and its other tags. With a digest, remove the manifest and all tags that point to it.',
    )
    .argument('<image>', 'HOST[:PORT]/NAME:TAG, or HOST[:PORT]/NAME@DIGEST')
    .addOption(outputOption)
  return addRegistryOptions(command).action(
    async (image: string, flags: RegistryOptions & Printing) => {
      const { host, name, reference } = parseTarget(image)
      const { remote } = await openRegistry({
        ...context,
        host,
        options: flags,
        telemetry: createTelemetry({ level: 'silent' }),
      })
      try {
        const deleted = await remote.writer.deleteManifest(name, reference)
        print(flags, { image, deleted }, () => `${image}: ${deleted ? 'deleted' : 'was not there'}`)
      } finally {
        await remote.close()
      }
    },
  )
}

function copyCommand(context: Context): Command {
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
      const signal = abortOnSignals()
      const { remote } = await openRegistry({
        ...context,
        host: source.host,
        options: flags,
        telemetry: createTelemetry({ level: 'silent' }),
      })
      try {
        const opened = await openRegistryImage({ remote, ...source })
        const mountFrom = source.host === target.host ? source.name : undefined
        for (const { digest } of opened.images) {
          const tags = tagsOf(target)
          await push(context, { source: opened, digest, target, tags, flags, mountFrom, signal })
        }
      } finally {
        await remote.close()
      }
    },
  )
}

function inspectCommand(context: Context): Command {
  const command = new Command('inspect')
    .summary('print the manifest of an image, and its digest')
    .argument('<image>', 'HOST[:PORT]/NAME[:TAG][@DIGEST]')
    .addOption(outputOption)
  return addRegistryOptions(command).action(
    async (image: string, flags: RegistryOptions & Printing) => {
      const target = parseTarget(image)
      const { remote } = await openRegistry({
        ...context,
        host: target.host,
        options: flags,
        telemetry: createTelemetry({ level: 'silent' }),
      })
      try {
        const source = await openRegistryImage({ remote, ...target })
        for (const { digest } of source.images) {
          const { mediaType, bytes } = await source.manifest(digest)
          const manifest: unknown = JSON.parse(bytes.toString('utf8'))
          print(
            flags,
            { image, digest, mediaType, manifest },
            () =>
              `digest: ${digest}\ntype: ${mediaType}\n${JSON.stringify(manifest, undefined, 2)}`,
          )
        }
      } finally {
        await remote.close()
      }
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
