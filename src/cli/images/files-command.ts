import { Command } from 'commander'
import {
  findFile,
  type ImageFile,
  type ImageFiles,
  imageFiles,
  type LayerBlob,
  type LayerFile,
  layerFiles,
  listLayerFiles,
  type OpenImage,
  readImageFile,
} from '../../archive/archive.ts'
import { addRegistryOptions, type RegistryOptions } from '../login/registry-login.ts'
import type { Context } from '../login/registry-options.ts'
import { type Printing, print, untilInterrupted } from '../output/image-output.ts'
import { outputOption } from '../output/options.ts'
import { UsageError } from '../process/errors.ts'
import { longLine, shortLine, summaryLines } from './file-lines.ts'
import { imageArgument, platformHelp, withImage } from './open-image.ts'
import { writeContent, writeText } from './write-content.ts'

type Flags = RegistryOptions &
  Printing & {
    readonly recursive?: boolean
    readonly long?: boolean
    readonly removed?: boolean
    readonly layers?: boolean
    readonly layer?: string
    readonly platform?: string
    readonly image?: string
  }

type Asked = {
  readonly path: string | undefined
  readonly file: string | undefined
  readonly flags: Flags
  readonly signal: AbortSignal
}

/** `berth files`: what is in an image. */
export function filesCommand(context: Context): Command {
  const command = new Command('files')
    .summary('list the files of an image, or print or save one of them')
    .description(
      'List a directory of an image as its containers see it, or print or save a file. Of eStargz and zstd:chunked layers, only their table of contents and the chunks of the file are read. Control characters in names are escaped.',
    )
    .argument('<image>', imageArgument)
    .argument('[path]', 'a directory to list, or a file to print (default: the root)')
    .argument('[file]', 'where to save the file; default or -: standard output')
    .option('-R, --recursive', 'list what is in directories, too')
    .option(
      '-l, --long',
      'list permissions, owners, sizes, times, and which layer put each file there',
    )
    .option('--removed', 'list what upper layers removed, too')
    .option(
      '--layers',
      'list the layers: the bytes of their files, and how many of them upper layers hide',
    )
    .option('--layer <number>', 'list or read one layer (0: the first), with its whiteouts')
    .option('--platform <os/arch>', platformHelp)
    .option('--image <name>', 'which image, if the archive has several')
    .addOption(outputOption)
    .addHelpText('after', examples)
  return addRegistryOptions(command).action(
    (named: string, path: string | undefined, file: string | undefined, flags: Flags) =>
      untilInterrupted((signal) => {
        const asked = { path, file, flags, signal }
        return withImage(named, { ...context, ...flags, options: flags, signal }, (image) =>
          flags.layer === undefined || path !== undefined
            ? answer(image, asked)
            : listLayer(image, asked),
        )
      }),
  )
}

/** A day: the user can end the command. */
const limits = { time: 86_400_000 }

async function answer(image: OpenImage, asked: Asked): Promise<void> {
  const { path = '', file, flags, signal } = asked
  const number = flags.layer === undefined ? undefined : numberOf(flags.layer, image)
  const files = await (number === undefined
    ? imageFiles(image.layers, { limits, signal })
    : layerFiles(image.layers, number, { limits, signal }))
  const read = number === undefined ? image.layers : image.layers.slice(number, number + 1)
  if (flags.layers === true) return printLayers({ ...image, layers: read }, files, flags)
  const found = findFile(files, path)
  if (found === undefined || found.type === 'directory') {
    if (file !== undefined) throw new UsageError(`${path} is a directory: only a file can be saved`)
    return list({ ...image, layers: read }, files, { ...asked, path: found?.path ?? '' })
  }
  if (flags.long === true || flags.output === 'json')
    return print(flags, found, (row) => longLine(row))
  await writeContent(readImageFile(image.layers, found, { limits, signal }), file, signal)
}

/** Rows that are asked for at a time: printing them takes a few milliseconds. */
const pageSize = 1000

async function list(
  image: OpenImage,
  files: ImageFiles,
  { path = '', flags }: Asked,
): Promise<void> {
  const rows = rowsOf(files, path, flags)
  if (flags.output === 'json') {
    const { digest, layers } = image
    const head = { digest, layers: describeLayers(layers, files), totals: files.totals }
    return writeText(jsonWith(head, rows))
  }
  await writeText(lines(rows, flags))
}

function* rowsOf({ table }: ImageFiles, directory: string, flags: Flags): Generator<ImageFile> {
  const isRecursive = flags.recursive === true
  let after: string | undefined
  do {
    const page = table.list({ directory, isRecursive, after, limit: pageSize })
    for (const row of page.rows) if (flags.removed === true || !row.isRemoved) yield row
    after = page.next
  } while (after !== undefined)
}

function* lines(rows: Iterable<ImageFile | LayerFile>, { long }: Flags): Generator<string> {
  for (const row of rows) yield `${long === true ? longLine(row) : shortLine(row)}\n`
}

/** One JSON object, written row by row. */
function* jsonWith(head: object, rows: Iterable<object>): Generator<string> {
  yield `${JSON.stringify(head).slice(0, -1)},"files":[`
  let separator = ''
  for (const row of rows) {
    yield `${separator}${JSON.stringify(row)}`
    separator = ','
  }
  yield ']}\n'
}

function describeLayers(layers: readonly LayerBlob[], { layers: shares }: ImageFiles) {
  return layers.map(({ digest, size, mediaType }, at) => ({
    digest,
    mediaType,
    size,
    from: shares[at]?.from,
    files: shares[at]?.size,
    hidden: shares[at]?.hidden,
  }))
}

function printLayers(image: OpenImage, files: ImageFiles, flags: Flags): void {
  const layers = describeLayers(image.layers, files)
  print(flags, { digest: image.digest, totals: files.totals, layers }, () =>
    summaryLines(files.totals, layers),
  )
}

/** All entries of a layer, in its order. */
async function listLayer(image: OpenImage, { flags, signal }: Asked): Promise<void> {
  const { layers, digest } = image
  const layer = layers[numberOf(flags.layer, image)]
  if (layer === undefined) return
  const { from, batches } = await listLayerFiles(layer, { limits, signal })
  const all: LayerFile[] = []
  if (flags.output === 'json') {
    for await (const batch of batches) all.push(...batch)
    const { digest: own, size, mediaType } = layer
    return writeText(jsonWith({ digest, layer: { digest: own, mediaType, size, from } }, all))
  }
  for await (const batch of batches) await writeText(lines(batch, flags))
}

function numberOf(text: string | undefined, { layers }: OpenImage): number {
  if (!/^\d+$/.test(text ?? '') || layers[Number(text)] === undefined)
    throw new UsageError(`--layer: the image has the layers 0 to ${layers.length - 1}`)
  return Number(text)
}

const examples = `
Examples:
  # the root directory, then all files with the layers that put them there
  berth files localhost:30026/local/app:1.2
  berth files localhost:30026/local/app:1.2 -R --long
  # one file, on the terminal and into a file
  berth files localhost:30026/docker.io/library/debian /etc/os-release
  berth files localhost:30026/local/app:1.2 /usr/bin/app app
  # how large the files of each layer are, and how much of them upper layers hide
  berth files app.tar --layers
  # what one layer has, with its whiteouts; then one directory of it
  berth files docker://app:1.2 --layer 2 --long
  berth files docker://app:1.2 /etc --layer 2`
