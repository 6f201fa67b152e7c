import { Command, Option } from 'commander'
import { parseTag } from '../oci/reference.ts'
import { linesFor, untilInterrupted } from './image-output.ts'
import { openSource } from './image-source.ts'
import { outputOption } from './options.ts'
import { addRegistryOptions, type RegistryOptions } from './registry-login.ts'
import { type Context, parseTarget, withRegistry } from './registry-options.ts'
import { type SendFlags, sendImage, tagOf } from './send-image.ts'

type PushFlags = RegistryOptions &
  SendFlags & {
    readonly file?: boolean
    readonly compression: 'gzip' | 'none'
    readonly image?: string
  }

export function imagePushCommand(context: Context): Command {
  const command = new Command('push')
    .summary('push an image of docker, podman or containerd, an archive, an OCI layout or a file')
    .description(
      'Push an image of the docker, podman or containerd of this machine, a docker archive (`docker save`), an OCI layout (directory or tar file; also .tar.gz and .tar.zst) or, with --file, any file as an image of one layer. Only blobs that the registry lacks are sent.',
    )
    .argument(
      '<source>',
      'path of the archive, directory or file; or docker://NAME, podman://NAME, containerd://NAME; or NAME, in the first of them that has it',
    )
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
    (path: string, image: string, more: readonly string[], flags: PushFlags) =>
      untilInterrupted((signal) => push(context, { path, image, more, flags, signal })),
  )
}

type Push = {
  readonly path: string
  readonly image: string
  readonly more: readonly string[]
  readonly flags: PushFlags
  readonly signal: AbortSignal
}

async function push(context: Context, { path, image, more, flags, signal }: Push): Promise<void> {
  const target = parseTarget(image)
  const tags = [tagOf(target), ...more.map(parseTag)]
  const { environment } = context
  const onNote = linesFor(flags)
  const { source, digest } = await openSource(path, { ...flags, environment, onNote, signal })
  try {
    await withRegistry({ ...context, host: target.host, options: flags }, (remote) =>
      sendImage({ source, digest, remote, target, tags, flags, signal }),
    )
  } finally {
    await source.close()
  }
}

const pushExamples = `
Examples:
  # what docker saved
  docker save app:1.2 -o app.tar && berth image push app.tar localhost:30026/local/app:1.2
  # an image of docker, podman or containerd on this machine
  berth image push docker://app:1.2 localhost:30026/local/app:1.2
  # an OCI layout, under two tags, as a user of the htpasswd file
  berth image push ./layout registry.example/team/app:1.2 latest -u ci --password-file /run/secrets/password
  # any file, which a pod mounts as an image volume
  berth image push --file model.bin localhost:30026/local/model:3`
