import {
  findFile,
  type ImageFile,
  type ImageFiles,
  imageFiles,
  layerFiles,
  readImageFile,
} from '../../archive/archive.ts'
import type { CacheMemory } from '../../memory/memory.ts'
import { type Digest, parseDigest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Inventory, Resolved } from '../../registry/registry.ts'
import type { Access } from '../access.ts'
import type { Files } from '../answers.ts'
import type { Handler } from '../call.ts'
import { openLocalImage } from './image-layers.ts'
import { type LookInside, lookLimits } from './look-inside.ts'

/** Milliseconds for which a listing is remembered. */
const life = 600_000
/** Bytes of a file that is downloaded. */
const maxDownload = 1024 * 1024 * 1024

type Options = {
  readonly access: Access
  readonly inventory: Inventory
  readonly lookInside: LookInside
  readonly caches: CacheMemory
}

type Place = { readonly digest: Digest; readonly layer: number | undefined }

type Context = { readonly work: () => Promise<ImageFiles> }

/** Listings by digest: their bytes are the same in every repository. Access is decided before. */
export function createListings({ access, inventory, lookInside, caches }: Options) {
  const memory = caches.create<ImageFiles, Context>({
    ttl: life,
    size: ({ table }) => table.bytes,
    ignoreFetchAbort: true,
    fetchMethod: (_key, _stale, { context }) => context.work(),
  })

  const list = async (resolved: Resolved, { digest, layer }: Place): Promise<ImageFiles> => {
    const { layers } = await openLocalImage(resolved, inventory, digest, layer)
    const work = () =>
      lookInside.run(() =>
        layer === undefined
          ? imageFiles(layers, { limits: lookLimits })
          : layerFiles(layers, layer, { limits: lookLimits }),
      )
    // An image says where the table of contents of its layer is, so a layer is not the same in all images.
    const found = await memory.fetch(`${digest} ${layer ?? 'all'}`, { context: { work } })
    if (found !== undefined) return found
    throw new RegistryError('UNAVAILABLE', { message: 'the image cannot be listed now; retry' })
  }

  const files: Handler<'files'> = async (call) => {
    const resolved = access.resolve(call)
    const digest = parseDigest(call.texts.digest)
    const { path, layer, after, n } = call.query
    const listing = await list(resolved, { digest, layer })
    const found = findIn(listing, { path, layer })
    const file = found?.type === 'directory' ? undefined : found
    const page = listing.table.list({
      directory: found?.path ?? '',
      after: after === '' ? undefined : after,
      limit: n,
    })
    return {
      body: {
        name: resolved.name,
        digest,
        path: found?.path ?? '',
        file: file && fileOf(file),
        files: file === undefined ? page.rows.map(fileOf) : [],
        next: file === undefined ? page.next : undefined,
        totals: listing.totals,
        layers: listing.layers.map((share, at) => ({ layer: layer ?? at, ...share })),
      },
      isImmutable: true,
    }
  }

  const file: Handler<'file'> = async (call) => {
    const resolved = access.resolve(call)
    const digest = parseDigest(call.texts.digest)
    const { path, layer } = call.query
    const found = findIn(await list(resolved, { digest, layer }), { path, layer })
    const content = found?.type === 'file' || found?.target !== undefined ? found : undefined
    if (content === undefined)
      throw new RegistryError('UNSUPPORTED', { status: 400, message: `${path} is no regular file` })
    const { size } = content
    if (size > maxDownload)
      throw new RegistryError('SIZE_INVALID', {
        status: 413,
        message: `${path} has ${size} bytes; at most ${maxDownload} are sent`,
        advice: 'save it with berth files IMAGE PATH FILE',
      })
    const number = layer ?? content.target?.layer ?? content.layer
    const { layers } = await openLocalImage(resolved, inventory, digest, number)
    const chunks = lookInside.iterate(() => readImageFile(layers, content, { limits: lookLimits }))
    return {
      body: undefined,
      download: {
        fileName: content.path.split('/').at(-1) ?? 'file',
        size,
        chunks: await begun(chunks),
      },
    }
  }

  return { files, file }
}

/**
 * Waits for the first chunk, so that what fails before it is an answer. No generator: one that nobody reads
 * would not end what it has begun.
 */
async function begun(chunks: AsyncGenerator<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const first = [await chunks.next()]
  const iterator = {
    next: async () => first.shift() ?? chunks.next(),
    return: () => chunks.return(undefined),
  }
  return { [Symbol.asyncIterator]: () => iterator }
}

function findIn(
  listing: ImageFiles,
  { path, layer }: { readonly path: string; readonly layer: number | undefined },
): ImageFile | undefined {
  try {
    return findFile(listing, path)
  } catch (cause) {
    throw new RegistryError('BLOB_UNKNOWN', {
      message: `${layer === undefined ? 'the image' : `layer ${layer}`} has no file ${path}`,
      cause,
    })
  }
}

function fileOf(file: ImageFile): Files['files'][number] {
  const { path, type, size, mode, uid, gid, modified, link, layer, below } = file
  return {
    ...{ path, type, size, mode, uid, gid, modified, link, layer },
    isRemoved: file.isRemoved === true,
    isOpaque: file.isOpaque === true,
    changes: file.changes ?? [],
    below: below && { files: below.files, size: below.size },
  }
}
