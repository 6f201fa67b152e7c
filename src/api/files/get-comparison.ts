import { setTimeout as sleep } from 'node:timers/promises'
import { compareImages, type ImageComparison, type LayerBlob } from '../../archive/archive.ts'
import type { CacheMemory } from '../../memory/memory.ts'
import { parseDigest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Inventory } from '../../registry/registry.ts'
import type { Access } from '../access.ts'
import type { Comparison } from '../answers.ts'
import type { Handler } from '../call.ts'
import { type LocalImage, openLocalImage } from './image-layers.ts'
import { type LookInside, lookLimits } from './look-inside.ts'

/** Milliseconds for which a comparison is remembered. */
const life = 600_000

type Options = {
  readonly access: Access
  readonly inventory: Inventory
  readonly lookInside: LookInside
  readonly caches: CacheMemory
}

/** A failure is reported once: the next request starts the comparison anew. */
type Outcome = { readonly comparison: ImageComparison } | { readonly failure: unknown }

type Context = { readonly work: () => Promise<Outcome> }

/** Bytes. */
type Progress = { read: number; readonly size: number }

/**
 * Of two images, by their digests. Reading the layers goes on when a client no longer waits: the next request
 * gets the result, or how far it is.
 */
export function createCompare(options: Options): Handler<'compare'> {
  const { access, inventory, lookInside, caches } = options
  const reading = new Map<string, Progress>()
  const memory = caches.create<Outcome, Context>({
    ttl: life,
    size: (outcome) => ('comparison' in outcome ? outcome.comparison.table.bytes : 0),
    ignoreFetchAbort: true,
    fetchMethod: (_key, _stale, { context }) => context.work(),
  })

  const compare = async (key: string, images: readonly LocalImage[]): Promise<Outcome> => {
    const progress = { read: 0, size: sizeOf(images) }
    reading.set(key, progress)
    const [before, after] = images.map((image) => counted(image, progress))
    try {
      if (before === undefined || after === undefined) throw new Error('two images are compared')
      const work = () => compareImages(before, after, { limits: lookLimits })
      return { comparison: await lookInside.run(work) }
    } catch (failure) {
      return { failure }
    } finally {
      reading.delete(key)
    }
  }

  return async (call) => {
    const { after, n, wait, filter, change, ...query } = call.query
    const resolved = access.resolve(call)
    const other = access.resolve({ ...call, texts: { name: query.toName ?? resolved.name } })
    const [digest, to] = [parseDigest(call.texts.digest), parseDigest(query.to)]
    const images = await Promise.all([
      openLocalImage(resolved, inventory, digest),
      openLocalImage(other, inventory, to),
    ])
    const key = `${digest} ${to}`
    const outcome = await within(
      wait * 1000,
      memory.fetch(key, { context: { work: () => compare(key, images) } }),
    )
    const names = { name: resolved.name, digest, toName: other.name, to }
    const progress = reading.get(key)
    if (outcome === undefined && progress !== undefined)
      return { body: { ...names, ...nothing, reading: { ...progress } } }
    if (outcome === undefined)
      throw new RegistryError('UNAVAILABLE', {
        message: 'the images cannot be compared now; retry',
      })
    if ('failure' in outcome) {
      memory.delete(key)
      throw outcome.failure
    }
    const { config, table, totals } = outcome.comparison
    const text = filter.toLowerCase()
    const page = table.list({
      isRecursive: true,
      after: after === '' ? undefined : after,
      limit: n,
      matches: (row) =>
        (change === undefined || row.change === change) && row.path.toLowerCase().includes(text),
    })
    return {
      body: { ...names, config, files: page.rows, next: page.next, totals },
      isImmutable: true,
    }
  }
}

const nothing: Pick<Comparison, 'config' | 'files' | 'totals'> = {
  config: [],
  files: [],
  totals: {
    added: { count: 0, size: 0 },
    removed: { count: 0, size: 0 },
    changed: { count: 0, before: 0, after: 0 },
  },
}

/** Undefined if it takes longer. */
async function within<Value>(time: number, value: Promise<Value>): Promise<Value | undefined> {
  const timer = new AbortController()
  const over = sleep(time, undefined, { signal: timer.signal }).catch(() => undefined)
  try {
    return await Promise.race([value, over])
  } finally {
    timer.abort()
  }
}

/** Layers at the bottom of both are read once; a layer with a table of contents is not read as a whole. */
function sizeOf(images: readonly LocalImage[]): number {
  const layers = images.flatMap((image) => image.layers)
  const sizes = new Map(layers.map(({ digest, size }) => [digest, size]))
  return [...sizes.values()].reduce((sum, size) => sum + size, 0)
}

function counted({ config, layers }: LocalImage, progress: Progress): LocalImage {
  const count = (layer: LayerBlob): LayerBlob => ({
    ...layer,
    read: async function* (range) {
      for await (const chunk of layer.read(range)) {
        progress.read = Math.min(progress.size, progress.read + chunk.byteLength)
        yield chunk
      }
    },
  })
  return { config, layers: layers.map(count) }
}
