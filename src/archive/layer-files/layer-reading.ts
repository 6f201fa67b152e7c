import { ArchiveError } from '../archive-error.ts'
import { byteReader } from '../byte-reader.ts'
import { oneChunk } from '../bytes.ts'
import { compressionOf, decompress } from '../decompress.ts'
import { quote } from '../layer-names.ts'
import { bytesIn, collect, verifiedPart, wholeLayer } from './blob-bytes.ts'
import type { Chunk, Contents } from './contents.ts'
import { readEstargz } from './estargz.ts'
import type { LayerBlob } from './layer-blob.ts'
import type { LayerFile } from './layer-file.ts'
import type { LayerLimits } from './layer-limits.ts'
import { listTar } from './tar-listing.ts'
import { readZstdChunked } from './zstd-chunked.ts'

/** Undefined: there is none, or it is not what the manifest says; then the whole layer tells. */
async function readContents(blob: LayerBlob, limits: LayerLimits): Promise<Contents | undefined> {
  try {
    return (await readEstargz(blob, limits)) ?? (await readZstdChunked(blob, limits))
  } catch (error) {
    if (error instanceof ArchiveError) return undefined
    throw error
  }
}

/** Where a listing comes from: the layer's table of contents, or all of its bytes. */
export type ListedFrom = 'contents' | 'layer'

export type Listing = {
  readonly from: ListedFrom
  readonly files: AsyncIterable<LayerFile> | Iterable<LayerFile>
}

/** The entries of a layer. Those of a whole layer are verified when the last one is there. */
export async function listLayer(blob: LayerBlob, limits: LayerLimits): Promise<Listing> {
  const contents = await readContents(blob, limits)
  if (contents !== undefined) return { from: 'contents', files: contents.files }
  return { from: 'layer', files: listTar(wholeLayer(blob, limits), limits) }
}

/** Where the content of a file is in a layer that was read as a whole. */
export type KnownPlace = Required<Pick<LayerFile, 'position' | 'size' | 'digest'>>

/**
 * The content of one file. Hard links within the layer are followed.
 * @throws ArchiveError `missing` if the layer has no such file.
 */
export async function* readFile(
  blob: LayerBlob,
  { path, place }: { readonly path: string; readonly place?: KnownPlace | undefined },
  limits: LayerLimits,
): AsyncGenerator<Buffer> {
  if (place !== undefined) return yield* contentAt(blob, place, limits)
  const contents = await readContents(blob, limits)
  if (contents !== undefined) {
    const last = createLastFiles()
    for (const file of contents.files) last.add(file)
    return yield* contentOf(blob, contents, { file: last.find(path), limits })
  }
  const { file, content } = await findInWhole(blob, path, limits)
  if (content !== undefined) yield content
  else yield* contentAt(blob, placeOf(file), limits)
}

function placeOf({ position, size, digest, path }: LayerFile): KnownPlace {
  if (position === undefined || digest === undefined) throw notAFile(path)
  return { position, size, digest }
}

/** Larger contents are read a second time. Bytes. */
const maxCaptured = 4 * 1024 * 1024

/** Reads the whole layer: a later entry may replace the file. */
async function findInWhole(blob: LayerBlob, path: string, limits: LayerLimits) {
  const last = createLastFiles()
  let captured: { readonly of: object; readonly parts: Buffer[] } | undefined
  const onContent = (file: Pick<LayerFile, 'path' | 'size'>, chunk: Buffer) => {
    if (file.path !== path || file.size > maxCaptured) return
    if (captured?.of !== file) captured = { of: file, parts: [] }
    captured.parts.push(chunk)
  }
  let lastOfPath: LayerFile | undefined
  for await (const file of listTar(wholeLayer(blob, limits), limits, onContent)) {
    last.add(file)
    if (file.path === path) lastOfPath = file
  }
  const file = last.find(path)
  const isCaptured = file === lastOfPath && file.size <= maxCaptured
  return { file, content: isCaptured ? Buffer.concat(captured?.parts ?? []) : undefined }
}

/** The last entry of each path, as it is when the layer is unpacked. */
function createLastFiles() {
  const files = new Map<string, LayerFile>()
  return {
    add: (file: LayerFile): void => {
      if (file.type === 'whiteout' || file.type === 'opaque') return
      // Another name for what the target is now; a later entry may replace the target.
      const target = file.link !== undefined && file.type === 'hardlink' && files.get(file.link)
      files.set(file.path, target || file)
    },
    /** @throws ArchiveError if it is no file. */
    find: (path: string): LayerFile => {
      const file = files.get(path)
      if (file === undefined)
        throw new ArchiveError('missing', `the layer has no file ${quote(path)}`)
      if (file.type === 'hardlink')
        throw new ArchiveError(
          'missing',
          `${quote(path)} is a hard link to ${quote(file.link ?? '')}, which is in another layer`,
        )
      if (file.type !== 'file') throw notAFile(path)
      return file
    },
  }
}

function notAFile(path: string): ArchiveError {
  return new ArchiveError('missing', `${quote(path)} is no regular file`)
}

/** Decompresses what precedes the file; of an uncompressed layer, only the file is read. */
async function* contentAt(
  blob: LayerBlob,
  { position, size, digest }: KnownPlace,
  limits: LayerLimits,
): AsyncGenerator<Buffer> {
  if (size === 0) return
  const isPlain = await isUncompressed(blob)
  const chunks = isPlain
    ? bytesIn(blob, { start: position, end: position + size })
    : wholeLayer(blob, limits)
  yield* verifiedPart(chunks, { skip: isPlain ? 0 : position, size, digest })
}

/** By its first bytes, as the whole layer is read. */
async function isUncompressed(blob: LayerBlob): Promise<boolean> {
  const size = Math.min(blob.size, 4)
  return compressionOf(await collect(bytesIn(blob, { start: 0, end: size }), size)) === undefined
}

type Wanted = { readonly file: LayerFile; readonly limits: LayerLimits }

async function* contentOf(
  blob: LayerBlob,
  { compression, chunksOf }: Contents,
  { file, limits }: Wanted,
): AsyncGenerator<Buffer> {
  for (const group of requestsOf(chunksOf(file))) {
    const [first, last] = [group[0], group.at(-1)]
    if (first?.digest === undefined || last === undefined) {
      yield* zeros(first?.size ?? 0)
      continue
    }
    const range = bytesIn(blob, { start: first.start, end: last.end })
    const bytes = byteReader(range, 'a chunk of a layer is cut')
    try {
      for (const chunk of group) {
        const size = chunk.end - chunk.start
        const isAlone = group.length === 1
        const chunks = isAlone ? bytes.section(size).content : oneChunk(await bytes.exactly(size))
        yield* verifiedPart(decompress({ chunks, size, compression }, limits), chunk)
      }
    } finally {
      await bytes.close()
    }
  }
}

/** Compressed bytes of one chunk that are held in memory. */
const maxHeld = 8 * 1024 * 1024

/** Chunks that are beside each other in the blob are requested together. */
function requestsOf(chunks: readonly Chunk[]): readonly (readonly Chunk[])[] {
  const groups: Chunk[][] = []
  for (const chunk of chunks) {
    const group = groups.at(-1)
    const before = group?.at(-1)
    if (group !== undefined && before?.end === chunk.start && isShort(before) && isShort(chunk))
      group.push(chunk)
    else groups.push([chunk])
  }
  return groups
}

function isShort({ start, end, digest }: Chunk): boolean {
  return digest !== undefined && end - start <= maxHeld
}

function* zeros(size: number): Generator<Buffer> {
  const block = Buffer.alloc(Math.min(size, 1024 * 1024))
  for (let left = size; left > 0; left -= block.length) yield block.subarray(0, left)
}
