import { Command } from 'commander'
import type { Digest } from '../../oci/digest.ts'
import { isForPlatform } from '../../oci/platform.ts'
import { formatReference } from '../../oci/reference.ts'
import type { Remote } from '../../remote/remote.ts'
import {
  createImageDetails,
  type ImageDetails,
  isAttestation,
  openRegistryImage,
  type PlatformImage,
} from '../../transfer/transfer.ts'
import { addRegistryOptions, type RegistryOptions } from '../login/registry-login.ts'
import { type Context, parseTarget, type Target, withRegistry } from '../login/registry-options.ts'
import { withSpoolerRegistry } from '../login/spooler-login.ts'
import { type Printing, print, untilInterrupted } from '../output/image-output.ts'
import { outputOption } from '../output/options.ts'
import { UsageError } from '../process/errors.ts'
import { referrersOf } from './image-referrers.ts'
import { describeImage } from './image-texts.ts'
import { ownPlatform } from './platforms.ts'

type Flags = RegistryOptions & Printing & { readonly platform?: string; readonly raw?: boolean }

export function imageInspectCommand(context: Context): Command {
  const command = new Command('inspect')
    .summary('print what an image is: platforms, config, layers, annotations, referrers')
    .description(
      'Print what an image is: its digest, platforms, annotations, and what refers to it (signatures, SBOMs); of one platform, its config and layers. -o json has all platforms.',
    )
    .argument('<image>', 'HOST[:PORT]/NAME[:TAG][@DIGEST]')
    .option(
      '--platform <os/arch>',
      'platform (default: of an index, linux and the architecture of this machine, else the first)',
    )
    .option('--raw', 'print the manifest or index as the registry has it, byte by byte')
    .addOption(outputOption)
    .addHelpText('after', examples)
  return addRegistryOptions(command).action((image: string, flags: Flags) =>
    untilInterrupted(() => inspect(context, image, flags)),
  )
}

async function inspect(context: Context, image: string, flags: Flags): Promise<void> {
  const target = parseTarget(image)
  const { host, name } = target
  const options = withSpoolerRegistry(host, flags, context.environment)
  await withRegistry({ ...context, host, options }, async (remote) => {
    const digest = await digestOf(remote, target)
    if (flags.raw === true) {
      const raw = await rawOf(remote, target, flags.platform)
      return void process.stdout.write(raw)
    }
    const details = await createImageDetails({ remote, name }).read(digest)
    const chosen = choose(details, flags.platform)
    const images = flags.platform === undefined ? details.images : [chosen]
    const report = {
      image: `${host}/${name}${'tag' in target.reference ? ':' : '@'}${formatReference(target.reference)}`,
      ...withoutBytes(details),
      manifest: JSON.parse(details.bytes.toString('utf8')) as unknown,
      images,
      referrers: await referrersOf(remote, name, [digest, ...images.map((one) => one.digest)]),
    }
    print(flags, report, () => describeImage({ ...report, images: details.images, chosen }))
  })
}

async function digestOf(remote: Remote, { name, reference }: Target): Promise<Digest> {
  const { images } = await openRegistryImage({ remote, name, reference })
  const [root] = images
  if (root === undefined) throw new Error('a registry image has one manifest')
  return root.digest
}

async function rawOf(
  remote: Remote,
  { name, reference }: Target,
  platform: string | undefined,
): Promise<Buffer> {
  const details = createImageDetails({ remote, name })
  const root = await details.read(await digestOf(remote, { host: '', name, reference }))
  if (platform === undefined) return root.bytes
  return (await details.read(choose(root, platform).digest)).bytes
}

/** @throws UsageError if the image is not for the platform that was asked for. */
function choose({ images }: ImageDetails, platform: string | undefined): PlatformImage {
  const runnable = images.filter((image) => !isAttestation(image))
  const wanted = platform ?? ownPlatform()
  const found = runnable.find((image) => isForPlatform(image.platform, wanted))
  if (found !== undefined) return found
  const [first] = runnable.length > 0 ? runnable : images
  if (platform === undefined && first !== undefined) return first
  const known = runnable.map((image) => image.platform ?? 'none')
  throw new UsageError(
    `the image is not for ${wanted}${known.length > 0 ? `, but for ${known.join(', ')}` : ': it has no image'}`,
  )
}

function withoutBytes({ bytes: _bytes, ...details }: ImageDetails) {
  return details
}

const examples = `
Examples:
  berth image inspect localhost:30026/local/app:1.2
  berth image inspect --platform linux/arm64 docker.io/library/busybox:latest
  # the layers, for a program
  berth image inspect -o json localhost:30026/local/app:1.2 | jq '.images[0].blobs'
  # the bytes that the digest is of
  berth image inspect --raw localhost:30026/local/app:1.2 | sha256sum`
