import { ArchiveError } from '../archive-error.ts'
import { collect, verifiedBlob } from './blob-bytes.ts'
import { compareConfigs } from './compare-configs.ts'
import { compareTrees } from './compare-trees.ts'
import type { TableBytes } from './file-table.ts'
import { writeImageTable } from './image-table.ts'
import { createImageTree, type ImageTree } from './image-tree.ts'
import type { LayerBlob } from './layer-blob.ts'
import type { LayerFile } from './layer-file.ts'
import type { LayerLimits } from './layer-limits.ts'
import { type ListedFrom, listLayer, readFile } from './layer-reading.ts'
import type { Task, TaskImage } from './messages.ts'

/** A part of the result, and the memory that is handed over with it. */
export type Output = { readonly result: unknown; readonly transfer?: ArrayBuffer[] }

type Context = {
  readonly blobs: readonly LayerBlob[]
  readonly limits: LayerLimits
}

/** Runs a task in this thread. */
export function runTask(task: Task, context: Context): AsyncGenerator<Output> {
  switch (task.kind) {
    case 'list':
      return list(blobAt(context, task.layer), context.limits)
    case 'read':
      return read(blobAt(context, task.layer), task, context.limits)
    case 'image':
      return image(task.layers, context)
    case 'layer':
      return oneLayer(task, context)
    case 'compare':
      return compare(task, context)
  }
}

function blobAt({ blobs }: Context, index: number): LayerBlob {
  const blob = blobs[index]
  if (blob === undefined) throw new Error(`there is no blob ${index}`)
  return blob
}

/** Entries of a message. */
const batchSize = 500

/** Where the listing comes from, then the entries in batches. */
async function* list(blob: LayerBlob, limits: LayerLimits): AsyncGenerator<Output> {
  const { from, files } = await listLayer(blob, limits)
  yield { result: from }
  let batch: LayerFile[] = []
  for await (const file of files) {
    batch.push(file)
    if (batch.length < batchSize) continue
    yield { result: batch }
    batch = []
  }
  yield { result: batch }
}

async function* read(
  blob: LayerBlob,
  task: Extract<Task, { kind: 'read' }>,
  limits: LayerLimits,
): AsyncGenerator<Output> {
  for await (const chunk of readFile(blob, task, limits)) {
    const bytes = new Uint8Array(chunk)
    yield { result: bytes, transfer: [bytes.buffer] }
  }
}

async function* image(layers: readonly number[], context: Context): AsyncGenerator<Output> {
  const tree = createImageTree(context.limits)
  const from: ListedFrom[] = []
  for (const layer of layers) from.push(await apply(blobAt(context, layer), [tree], context.limits))
  const { table, totals } = writeImageTable(tree)
  const described = tree.sizes.map(({ size, hidden }, at) => ({ from: from[at], size, hidden }))
  yield { result: { table, totals, layers: described }, transfer: buffersOf(table) }
}

async function* oneLayer(
  { layer, number }: Extract<Task, { kind: 'layer' }>,
  context: Context,
): AsyncGenerator<Output> {
  const tree = createImageTree(context.limits)
  for (let at = 0; at <= number; at += 1) tree.nextLayer()
  const { from, files } = await listLayer(blobAt(context, layer), context.limits)
  const whiteouts: LayerFile[] = []
  for await (const file of files)
    if (file.type === 'whiteout' || file.type === 'opaque') whiteouts.push(file)
    else tree.add(file)
  // Last: what they are about may be in the layer, too.
  for (const whiteout of whiteouts) tree.keep(whiteout)
  const { table, totals } = writeImageTable(tree)
  const layers = tree.sizes.slice(number).map(({ size, hidden }) => ({ from, size, hidden }))
  yield { result: { table, totals, layers }, transfer: buffersOf(table) }
}

async function apply(
  blob: LayerBlob,
  trees: readonly ImageTree[],
  limits: LayerLimits,
): Promise<ListedFrom> {
  for (const tree of trees) tree.nextLayer()
  const { from, files } = await listLayer(blob, limits)
  for await (const file of files) for (const tree of trees) tree.add(file)
  return from
}

/** The layers that both have at their bottom are read once. */
async function* compare(
  { before, after }: Extract<Task, { kind: 'compare' }>,
  context: Context,
): AsyncGenerator<Output> {
  const { limits } = context
  const trees = [createImageTree(limits), createImageTree(limits)] as const
  const digestOf = (image: TaskImage, at: number) =>
    image.layers[at] === undefined ? undefined : blobAt(context, image.layers[at]).digest
  let shared = 0
  while (
    digestOf(before, shared) !== undefined &&
    digestOf(before, shared) === digestOf(after, shared)
  )
    shared += 1
  for (const layer of before.layers.slice(0, shared))
    await apply(blobAt(context, layer), trees, limits)
  for (const [at, own] of [before, after].entries())
    for (const layer of own.layers.slice(shared))
      await apply(blobAt(context, layer), trees.slice(at, at + 1), limits)
  const config = compareConfigs(
    await configBytes(blobAt(context, before.config), limits),
    await configBytes(blobAt(context, after.config), limits),
  )
  const { table, totals } = compareTrees(...trees)
  yield { result: { table, totals, config }, transfer: buffersOf(table) }
}

function configBytes(blob: LayerBlob, { document }: LayerLimits): Promise<Buffer> {
  if (blob.size > document)
    throw new ArchiveError('too-large', `the config of an image has more than ${document} bytes`)
  return collect(verifiedBlob(blob), blob.size)
}

function buffersOf({ chunks, places }: TableBytes): ArrayBuffer[] {
  const buffers = [...chunks, places].map(({ buffer }) => buffer)
  return buffers.filter((buffer) => buffer instanceof ArrayBuffer)
}
