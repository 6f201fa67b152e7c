import { Command } from 'commander'
import { compareImages, type ImageComparison, type OpenImage } from '../../archive/archive.ts'
import { formatSize } from '../../oci/amounts.ts'
import { addRegistryOptions, hasLogin, type RegistryOptions } from '../login/registry-login.ts'
import { type Context, parseTarget } from '../login/registry-options.ts'
import { type Printing, untilInterrupted } from '../output/image-output.ts'
import { outputOption } from '../output/options.ts'
import { printable } from '../output/printable.ts'
import { UsageError } from '../process/errors.ts'
import { imageArgument, isLocal, platformHelp, withImage } from './open-image.ts'
import { writeText } from './write-content.ts'

type Flags = RegistryOptions &
  Printing & { readonly platform?: string; readonly exitCode?: boolean }

type Compared = ImageComparison & { readonly before: OpenImage; readonly after: OpenImage }

/** `berth diff`: what differs between two images. */
export function diffCommand(context: Context): Command {
  const command = new Command('diff')
    .summary('compare two images: their layers, configs and files')
    .description(
      'Print which layers two images share, what differs between their configs, and which files were added, removed or changed: by type, size, permissions, owner, link target and content. Times do not count.',
    )
    .argument('<before>', imageArgument)
    .argument('<after>', 'the same')
    .option('--platform <os/arch>', platformHelp)
    .option('--exit-code', 'exit with 1 if the images differ')
    .addOption(outputOption)
    .addHelpText('after', examples)
  return addRegistryOptions(command).action((before: string, after: string, flags: Flags) =>
    untilInterrupted(async (signal) => {
      await assertOneLogin([before, after], flags)
      const opening = { ...context, options: flags, platform: flags.platform, signal }
      await withImage(before, opening, (left) =>
        withImage(after, opening, (right) => compare(left, right, flags, signal)),
      )
    }),
  )
}

/** The danger: two registries would get the credentials of one of them. */
async function assertOneLogin(images: readonly string[], flags: Flags): Promise<void> {
  const hosts = new Set<string>()
  for (const image of images) if (!(await isLocal(image))) hosts.add(parseTarget(image).host)
  if (hosts.size > 1 && hasLogin(flags))
    throw new UsageError(
      'a login on the command line would be sent to both registries: log in to each with docker login',
    )
}

/** A day: the user can end the command. */
const limits = { time: 86_400_000 }

async function compare(
  before: OpenImage,
  after: OpenImage,
  flags: Flags,
  signal: AbortSignal,
): Promise<void> {
  const comparison = await compareImages(before, after, { limits, signal })
  const compared = { ...comparison, before, after }
  await writeText(flags.output === 'json' ? toJson(compared) : toText(compared))
  const isSame = before.digest === after.digest
  const isAlike = comparison.config.length === 0 && comparison.table.rows === 0
  if (flags.exitCode === true && !(isSame || isAlike)) process.exitCode = 1
}

function layersOf({ before, after }: Compared) {
  const own = (image: OpenImage, other: OpenImage) =>
    image.layers
      .filter(({ digest }) => !other.layers.some((layer) => layer.digest === digest))
      .map(({ digest, size }) => ({ digest, size }))
  const shared = before.layers
    .filter(({ digest }) => after.layers.some((layer) => layer.digest === digest))
    .map(({ digest, size }) => ({ digest, size }))
  return { shared, before: own(before, after), after: own(after, before) }
}

function* toJson(compared: Compared): Generator<string> {
  const { before, after, config, totals } = compared
  const head = {
    before: before.digest,
    after: after.digest,
    layers: layersOf(compared),
    config,
    totals,
  }
  yield `${JSON.stringify(head).slice(0, -1)},"files":[`
  let separator = ''
  for (const row of rowsOf(compared)) {
    yield `${separator}${JSON.stringify(row)}`
    separator = ','
  }
  yield ']}\n'
}

function* rowsOf({ table }: ImageComparison) {
  let after: string | undefined
  do {
    const page = table.list({ isRecursive: true, after })
    yield* page.rows
    after = page.next
  } while (after !== undefined)
}

function* toText(compared: Compared): Generator<string> {
  const { before, after, config, totals } = compared
  if (before.digest === after.digest) {
    yield `both are ${before.digest}\n`
    return
  }
  const layers = layersOf(compared)
  const sum = (of: readonly { readonly size: number }[]) =>
    formatSize(of.reduce((total, { size }) => total + size, 0))
  yield `Layers: ${layers.shared.length} shared (${sum(layers.shared)})\n`
  for (const { digest, size } of layers.before) yield `- ${digest} ${formatSize(size)}\n`
  for (const { digest, size } of layers.after) yield `+ ${digest} ${formatSize(size)}\n`
  yield config.length === 0 ? '\nConfig: no differences\n' : '\nConfig:\n'
  for (const { field, before: left, after: right } of config) {
    if (left !== undefined) yield `- ${printable(field)} ${printable(left)}\n`
    if (right !== undefined) yield `+ ${printable(field)} ${printable(right)}\n`
  }
  const { added, removed, changed } = totals
  yield `\nFiles: ${added.count} added (${formatSize(added.size)}), ${removed.count} removed (${formatSize(removed.size)}), ${changed.count} changed (${formatSize(changed.before)} before, ${formatSize(changed.after)} after)\n`
  for (const row of rowsOf(compared)) yield fileLine(row)
}

type Difference = ReturnType<ImageComparison['table']['list']>['rows'][number]

const marks = { added: '+', removed: '-', changed: '~' } as const

function fileLine({ path, change, fields = [], before, after }: Difference): string {
  const isDirectory = (after ?? before)?.type === 'directory'
  const name = `${marks[change]} ${printable(path)}${isDirectory ? '/' : ''}`
  const sizes = [before, after].flatMap((file) =>
    file?.type === 'file' ? [formatSize(file.size)] : [],
  )
  const described = fields.map((field) => describeField(field, before, after))
  const size = fields.includes('size') || change !== 'changed' ? sizes.join(' > ') : ''
  return `${[name, size, described.filter((text) => text !== '').join(', ')].filter((text) => text !== '').join('  ')}\n`
}

function describeField(
  field: NonNullable<Difference['fields']>[number],
  before: Difference['before'],
  after: Difference['after'],
): string {
  switch (field) {
    case 'size':
      return ''
    case 'type':
      return `${before?.type} > ${after?.type}`
    case 'mode':
      return `mode ${before?.mode.toString(8)} > ${after?.mode.toString(8)}`
    case 'owner':
      return `owner ${before?.uid}:${before?.gid} > ${after?.uid}:${after?.gid}`
    case 'link':
      return `link ${printable(before?.link ?? '')} > ${printable(after?.link ?? '')}`
    case 'content':
      return 'content'
  }
}

const examples = `
Examples:
  berth diff localhost:30026/local/app:1.2 localhost:30026/local/app:1.3
  # what a build would change in the registry
  berth diff localhost:30026/local/app:1.2 docker://app:1.2
  # in a script
  berth diff --exit-code -o json app-1.tar app-2.tar`
