import { Command } from 'commander'
import { parseTag } from '../../oci/reference.ts'
import { addRegistryOptions, type RegistryOptions } from '../login/registry-login.ts'
import { type Context, parseTarget, withRegistry } from '../login/registry-options.ts'
import { linesFor, untilInterrupted } from '../output/image-output.ts'
import { collect, outputOption } from '../output/options.ts'
import { UsageError } from '../process/errors.ts'
import { collectGarbageLessOften } from '../process/heap.ts'
import { openArtifact } from './artifact-source.ts'
import {
  addCompressionOptions,
  type CompressionFlags,
  compressionOf,
} from './compression-options.ts'
import { openSource } from './image-source.ts'
import { type SendFlags, sendImage, tagOf } from './send-image.ts'

type PushFlags = RegistryOptions &
  SendFlags &
  CompressionFlags & {
    readonly file?: boolean
    readonly artifact?: boolean
    readonly artifactType?: string
    readonly annotation?: readonly string[]
    readonly tag?: readonly string[]
    readonly image?: string
  }

export function imagePushCommand(context: Context): Command {
  const command = new Command('push')
    .summary('push an image of docker, podman or containerd, an archive, an OCI layout or a file')
    .description(
      'Push an image of the docker, podman or containerd of this machine, a docker archive (`docker save`), an OCI layout (directory or tar file; also .tar.gz and .tar.zst) or any other file as an image of one layer. Only blobs that the registry lacks are sent.',
    )
    .argument(
      '<source>',
      'path of the archive, directory or file; or docker://NAME, podman://NAME, containerd://NAME; or NAME, in the first of them that has it',
    )
    .argument('<image>', 'HOST[:PORT]/NAME:TAG')
    .argument('[tags...]', 'more tags of the same repository')
    .usage(
      '[options] <source> <image> [tags...]\n       berth image push --artifact [options] <file[:type]...> <image>',
    )
    .option('--file', 'push the source as a file, even if it is an archive')
    .option(
      '--artifact',
      'push files as an OCI artifact, as oras does: berth pull --unpack and oras pull bring them back; pods cannot mount it',
    )
    .option('--artifact-type <type>', 'what the artifact is, as a media type')
    .option('--annotation <key=value>', 'annotation of the artifact; may be repeated', collect)
    .option('-t, --tag <tag>', 'another tag of the same repository; may be repeated', collect)
    .option('--image <name>', 'which image, if the archive has several')
    .option('-j, --parallel <count>', 'blobs at a time', '3')
    .option('-q, --quiet', 'print no progress')
    .addOption(outputOption)
    .addHelpText('after', pushExamples)
  return addRegistryOptions(addCompressionOptions(command)).action(
    (source: string, image: string, more: readonly string[], flags: PushFlags) =>
      untilInterrupted((signal) =>
        push(context, { ...wordsOf([source, image, ...more], flags), flags, signal }),
      ),
  )
}

type Words = {
  /** Several for an artifact. */
  readonly sources: readonly string[]
  readonly image: string
  readonly more: readonly string[]
}

/** The image is the second word, or the last one after the files of an artifact. */
function wordsOf(words: readonly string[], { artifact, artifactType, tag = [] }: PushFlags): Words {
  if (artifact !== true && artifactType !== undefined)
    throw new UsageError('--artifact-type needs --artifact')
  if (artifact === true)
    return { sources: words.slice(0, -1), image: words.at(-1) ?? '', more: tag }
  const [source = '', image = '', ...tags] = words
  return { sources: [source], image, more: [...tags, ...tag] }
}

type Push = Words & { readonly flags: PushFlags; readonly signal: AbortSignal }

async function push(
  context: Context,
  { sources, image, more, flags, signal }: Push,
): Promise<void> {
  collectGarbageLessOften()
  const target = parseTarget(image)
  const tags = [...new Set([tagOf(target), ...more.map(parseTag)])]
  const { source, digest } = await openSources(context, { sources, flags, signal })
  try {
    await withRegistry({ ...context, host: target.host, options: flags }, (remote) =>
      sendImage({
        ...{ source, digest, remote, target, tags, flags, signal },
        terminal: context.environment['TERM'],
      }),
    )
  } finally {
    await source.close()
  }
}

async function openSources(
  { environment }: Context,
  { sources, flags, signal }: Pick<Push, 'sources' | 'flags' | 'signal'>,
): ReturnType<typeof openSource> {
  const [first = ''] = sources
  if (flags.artifact !== true)
    return openSource(first, {
      ...flags,
      compression: compressionOf(flags),
      environment,
      onNote: linesFor(flags),
      signal,
    })
  const { artifactType, annotation: annotations } = flags
  const source = await openArtifact(sources, { artifactType, annotations, signal })
  const [image] = source.images
  if (image === undefined) throw new Error('an artifact has one manifest')
  return { source, digest: image.digest }
}

const pushExamples = `
Examples:
  # what docker saved
  docker save app:1.2 -o app.tar && berth image push app.tar localhost:30026/local/app:1.2
  # an image of docker, podman or containerd on this machine
  berth image push docker://app:1.2 localhost:30026/local/app:1.2
  # with zstd, which takes less time and space than gzip
  berth image push --compression zstd app.tar localhost:30026/local/app:1.2
  # an OCI layout, under two tags, as a user of the htpasswd file
  berth image push ./layout registry.example/team/app:1.2 latest -u ci --password-file /run/secrets/password
  # any file, which a pod mounts as an image volume
  berth image push model.bin localhost:30026/local/model:3
  # several files, as an OCI artifact
  berth image push --artifact --artifact-type application/vnd.example.report report.html data.json:application/json \\
    localhost:30026/local/report:7`
