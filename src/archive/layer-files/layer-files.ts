import { ArchiveError } from '../archive-error.ts'
import { quote, splitName } from '../layer-names.ts'
import type { ConfigDifference } from './compare-configs.ts'
import type { DifferenceTotals, FileDifference } from './compare-trees.ts'
import { type FileTable, openTable, type TableBytes } from './file-table.ts'
import type { ImageFile } from './image-file.ts'
import type { ImageTotals } from './image-table.ts'
import type { LayerBlob } from './layer-blob.ts'
import type { LayerFile } from './layer-file.ts'
import { defaultLayerLimits, type LayerLimits } from './layer-limits.ts'
import type { KnownPlace, ListedFrom } from './layer-reading.ts'
import { runInThread } from './run-in-thread.ts'

export type { ImageFile } from './image-file.ts'
export type { LayerBlob } from './layer-blob.ts'
export type { LayerFile } from './layer-file.ts'

/**
 * Of each call. A call has a thread of its own until it ends, so its callers limit how many run at a time.
 * Ending the iteration, or `signal`, ends the thread.
 */
export type LayerOptions = {
  readonly limits?: Partial<LayerLimits>
  readonly signal?: AbortSignal | undefined
}

const optionsOf = ({ limits, signal }: LayerOptions) => ({
  limits: { ...defaultLayerLimits, ...limits },
  signal,
})

export type LayerListing = {
  /** Where the entries come from. */
  readonly from: ListedFrom
  /** In the order of the layer, in batches; the last entry of a path counts. */
  readonly batches: AsyncIterable<readonly LayerFile[]>
}

/**
 * The entries of one layer: tar, uncompressed or with gzip or zstd. Of eStargz and zstd:chunked, only the table
 * of contents is read, if it is what the annotations of the layer say; else the whole layer, and its digest is
 * verified before the last batch.
 * @throws ArchiveError, also while the batches are read; what reading the blob throws.
 */
export async function listLayerFiles(
  layer: LayerBlob,
  options: LayerOptions = {},
): Promise<LayerListing> {
  const task = { kind: 'list', layer: 0 } as const
  const results = runInThread<ListedFrom | readonly LayerFile[]>({
    task,
    blobs: [layer],
    ...optionsOf(options),
  })
  const { value: from } = await results.next()
  if (from !== 'contents' && from !== 'layer')
    throw new Error('a listing says first where it is from')
  return { from, batches: batchesOf(results) }
}

async function* batchesOf(
  results: AsyncIterable<ListedFrom | readonly LayerFile[]>,
): AsyncGenerator<readonly LayerFile[]> {
  for await (const batch of results) if (typeof batch !== 'string') yield batch
}

type FileInLayer = {
  /** Of a file or a hard link to a file of the layer. */
  readonly path: string
  /** From a listing of this layer: it need not be listed again. */
  readonly place?: KnownPlace
}

/**
 * The content of one file of a layer. Of eStargz and zstd:chunked, only its chunks are read. The last bytes come
 * only when all of them, or those of the chunk, are verified.
 * @throws ArchiveError `missing` if the layer has no such file, others as {@link listLayerFiles}.
 */
export function readLayerFile(
  layer: LayerBlob,
  { path, place }: FileInLayer,
  options: LayerOptions = {},
): AsyncIterable<Uint8Array> {
  const task = { kind: 'read', layer: 0, path, place } as const
  return runInThread<Uint8Array>({ task, blobs: [layer], ...optionsOf(options) })
}

/** All layers of an image on top of each other. */
export type ImageFiles = {
  readonly table: FileTable<ImageFile>
  readonly totals: ImageTotals
  readonly layers: readonly LayerShare[]
}

type LayerShare = {
  readonly from: ListedFrom
  /** Bytes of its files. */
  readonly size: number
  /** How many of them upper layers replace or hide. */
  readonly hidden: number
}

type RawImage = Omit<ImageFiles, 'table'> & { readonly table: TableBytes }

/**
 * The files of an image: which layer put each there, replaced or hid it.
 * @throws ArchiveError `too-large` for an image with more paths than `limits` allow: then its layers can be
 * listed one by one. Others as {@link listLayerFiles}.
 */
export async function imageFiles(
  layers: readonly LayerBlob[],
  options: LayerOptions = {},
): Promise<ImageFiles> {
  const task = { kind: 'image', layers: layers.map((_, at) => at) } as const
  const raw = await only(runInThread<RawImage>({ task, blobs: layers, ...optionsOf(options) }))
  return { ...raw, table: openTable(raw.table) }
}

/**
 * The files of one layer of an image, as they are in it: its whiteouts are rows. Only this layer is read.
 * @throws ArchiveError `missing` if the image has no layer of this number; others as {@link listLayerFiles}.
 */
export async function layerFiles(
  layers: readonly LayerBlob[],
  number: number,
  options: LayerOptions = {},
): Promise<ImageFiles> {
  const layer = layers[number]
  if (layer === undefined)
    throw new ArchiveError('missing', `the image has the layers 0 to ${layers.length - 1}`)
  const task = { kind: 'layer', layer: 0, number } as const
  const raw = await only(runInThread<RawImage>({ task, blobs: [layer], ...optionsOf(options) }))
  return { ...raw, table: openTable(raw.table) }
}

/** Symbolic links that are followed, as in Linux. */
const maxLinks = 40

/**
 * What is at a path of an image, after the symbolic links in it, which stay within the image.
 * @throws ArchiveError `missing`
 */
export function findFile(
  { table }: Pick<ImageFiles, 'table'>,
  path: string,
): ImageFile | undefined {
  let rest = partsOf(path)
  let at = ''
  let found: ImageFile | undefined
  for (let links = 0; rest.length > 0; ) {
    const [part = '', ...others] = rest
    rest = others
    if (part === '..') {
      at = splitName(at).parent
      found = at === '' ? undefined : table.find(at)
      continue
    }
    const next = at === '' ? part : `${at}/${part}`
    found = table.find(next)
    if (found === undefined || found.isRemoved)
      throw new ArchiveError('missing', `the image has no ${quote(path)}`)
    if (found.type !== 'symlink' || found.link === undefined) {
      at = next
      continue
    }
    links += 1
    if (links > maxLinks) throw new ArchiveError('invalid', `${quote(path)} has too many links`)
    if (found.link.startsWith('/')) at = ''
    rest = [...partsOf(found.link), ...rest]
    found = at === '' ? undefined : table.find(at)
  }
  return found
}

function partsOf(path: string): readonly string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

/** The content of a file of an image. */
export function readImageFile(
  layers: readonly LayerBlob[],
  file: ImageFile,
  options: LayerOptions = {},
): AsyncIterable<Uint8Array> {
  const { size, digest } = file
  const content = file.type === 'file' ? file : file.target
  const layer = content && layers[content.layer]
  if (content === undefined || layer === undefined)
    throw new ArchiveError('missing', `${quote(file.path)} is no regular file`)
  const { position } = content
  const place =
    position !== undefined && digest !== undefined ? { place: { position, size, digest } } : {}
  return readLayerFile(layer, { path: content.path, ...place }, options)
}

/** An image to compare. */
export type ComparableImage = { readonly config: LayerBlob; readonly layers: readonly LayerBlob[] }

export type ImageComparison = {
  readonly config: readonly ConfigDifference[]
  readonly table: FileTable<FileDifference>
  readonly totals: DifferenceTotals
}

type RawComparison = Omit<ImageComparison, 'table'> & { readonly table: TableBytes }

/**
 * What differs between the files and the configs of two images; times do not count. Layers that both have at
 * their bottom are read once.
 * @throws ArchiveError as {@link imageFiles}
 */
export async function compareImages(
  before: ComparableImage,
  after: ComparableImage,
  options: LayerOptions = {},
): Promise<ImageComparison> {
  const blobs: LayerBlob[] = []
  const add = (blob: LayerBlob): number => blobs.push(blob) - 1
  const [left, right] = [before, after].map(({ config, layers }) => ({
    config: add(config),
    layers: layers.map(add),
  }))
  if (left === undefined || right === undefined) throw new Error('two images are compared')
  const task = { kind: 'compare', before: left, after: right } as const
  const raw = await only(runInThread<RawComparison>({ task, blobs, ...optionsOf(options) }))
  return { ...raw, table: openTable(raw.table) }
}

async function only<Result>(results: AsyncIterable<Result>): Promise<Result> {
  for await (const result of results) return result
  throw new Error('the thread had no result')
}
