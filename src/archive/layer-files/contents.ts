import { z } from 'zod'
import { type Digest, isDigest, parseDigest } from '../../oci/digest.ts'
import { ArchiveError } from '../archive-error.ts'
import type { Compression } from '../decompress.ts'
import { layerName, meaningOf } from '../layer-names.ts'
import type { LayerFile } from './layer-file.ts'
import type { LayerLimits } from './layer-limits.ts'
import { linkTarget } from './tar-listing.ts'

/** The table of contents of an eStargz or zstd:chunked layer: its files, and where their contents are. */
export type Contents = {
  readonly compression: Compression
  readonly files: readonly LayerFile[]
  /** Of a file of `files`; empty if its content is. In their order, without gaps. */
  chunksOf(file: LayerFile): readonly Chunk[]
}

/** A part of the content of a file, compressed by itself or together with others. */
export type Chunk = {
  /** In the blob: where its gzip member or zstd frame begins, and the next one. */
  readonly start: number
  readonly end: number
  /** Bytes before it after decompression from `start` on. */
  readonly skip: number
  /** Bytes. */
  readonly size: number
  /** Undefined: it is zeros, and not in the blob. */
  readonly digest: Digest | undefined
}

const types = {
  reg: 'file',
  dir: 'directory',
  symlink: 'symlink',
  hardlink: 'hardlink',
  char: 'char',
  block: 'block',
  fifo: 'fifo',
} as const

const natural = z.int().nonnegative()
const digest = z.string().refine(isDigest)

/**
 * One entry of the JSON that both formats have from CRFS (containerd/stargz-snapshotter, docs/estargz.md;
 * containers/storage, `FileMetadata`). Go omits fields that are empty.
 */
const entrySchema = z.object({
  name: z.string(),
  type: z.enum(['chunk', 'reg', 'dir', 'symlink', 'hardlink', 'char', 'block', 'fifo']),
  size: natural.default(0),
  modtime: z.string().nullish(),
  linkName: z.string().default(''),
  mode: z.int().default(0),
  uid: z.int().default(0),
  gid: z.int().default(0),
  digest: digest.or(z.literal('')).default(''),
  offset: natural.default(0),
  endOffset: natural.default(0),
  innerOffset: natural.default(0),
  chunkOffset: natural.default(0),
  chunkSize: natural.default(0),
  chunkDigest: digest.or(z.literal('')).default(''),
  chunkType: z.enum(['', 'zeros']).default(''),
})

const contentsSchema = z.object({ version: z.literal(1), entries: z.array(entrySchema) })

type Entry = z.infer<typeof entrySchema>

type Parsing = {
  readonly compression: Compression
  /** Where the table begins in the blob: contents are before it. */
  readonly position: number
  readonly limits: LayerLimits
}

/** @throws ArchiveError if the table is invalid, or does not say all that is needed. */
export function parseContents(json: Buffer, { compression, position, limits }: Parsing): Contents {
  const entries = parse(json)
  if (entries.length > limits.entries)
    throw new ArchiveError('too-large', `the layer has more than ${limits.entries} entries`)
  const ends = endsOf(entries, position)
  const files: LayerFile[] = []
  const chunks = new Map<LayerFile, readonly Chunk[]>()
  for (let at = 0; at < entries.length; ) {
    const own = entriesOfFile(entries, at)
    at += own.length
    const [first] = own
    const file = first && toFile(first, limits)
    if (first === undefined || file === undefined) continue
    files.push(file)
    if (file.type === 'file' && file.size > 0) chunks.set(file, chunksOf(own, first.size, ends))
  }
  return { compression, files, chunksOf: (file) => chunks.get(file) ?? [] }
}

function parse(json: Buffer): readonly Entry[] {
  try {
    return contentsSchema.parse(JSON.parse(json.toString('utf8'))).entries
  } catch (cause) {
    throw new ArchiveError('invalid', 'the table of contents of a layer is invalid', cause)
  }
}

/** For each position where a content begins, the next one: its compressed bytes end there at the latest. */
function endsOf(entries: readonly Entry[], position: number): ReadonlyMap<number, number> {
  const positions = new Set([position])
  for (const { offset, endOffset } of entries) positions.add(offset).add(endOffset)
  const sorted = [...positions].filter((one) => one <= position).sort((a, b) => a - b)
  return new Map(sorted.map((one, at) => [one, sorted[at + 1] ?? one]))
}

/** A file, and the entries of its further chunks. */
function entriesOfFile(entries: readonly Entry[], at: number): readonly Entry[] {
  let next = at + 1
  while (entries[next]?.type === 'chunk') next += 1
  if (entries[at]?.type === 'chunk')
    throw new ArchiveError('invalid', 'the table of contents has a chunk without a file')
  return entries.slice(at, next)
}

/** Undefined: it is of no meaning. */
function toFile(entry: Entry, limits: LayerLimits): LayerFile | undefined {
  const name = layerName(entry.name, limits)
  const meaning = meaningOf(name)
  const { type, uid, gid } = entry
  if (meaning.kind === 'nothing' || type === 'chunk') return undefined
  const rest = { size: 0, mode: entry.mode & 0o7777, uid, gid, modified: secondsOf(entry.modtime) }
  if (meaning.kind === 'whiteout') return { path: meaning.hidden, type: 'whiteout', ...rest }
  if (meaning.kind === 'opaque') return { path: meaning.directory, type: 'opaque', ...rest }
  const file = { path: name, type: types[type], ...rest }
  if (type === 'hardlink') return { ...file, link: layerName(entry.linkName, limits) }
  if (type === 'symlink') return { ...file, link: linkTarget(entry.linkName, limits) }
  if (type !== 'reg') return file
  return { ...file, size: entry.size, digest: digestOfFile(entry) }
}

function secondsOf(time: string | null | undefined): number {
  const seconds = Math.floor(Date.parse(time ?? '') / 1000)
  return Number.isFinite(seconds) ? Math.max(seconds, 0) : 0
}

const emptyDigest = parseDigest(
  'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
)

function digestOfFile({ digest: own, size }: Entry): Digest {
  if (size === 0) return emptyDigest
  if (own === '')
    throw new ArchiveError('invalid', 'the table of contents lacks the digest of a file')
  return own
}

/** A chunk of size 0 is the last one, and has the rest of the file. */
function chunksOf(
  entries: readonly Entry[],
  size: number,
  ends: ReadonlyMap<number, number>,
): readonly Chunk[] {
  let position = 0
  const chunks = entries.map((entry) => {
    const length = entry.chunkSize === 0 ? size - position : entry.chunkSize
    const isOne = entries.length === 1
    const end = ends.get(entry.offset) ?? 0
    const isZeros = entry.chunkType === 'zeros'
    const own = entry.chunkDigest || (isOne ? entry.digest : '')
    const isValid = entry.chunkOffset === position && length > 0 && (isZeros || own !== '')
    if (!isValid || (!isZeros && end <= entry.offset))
      throw new ArchiveError('invalid', 'the table of contents has an invalid chunk')
    position += length
    return {
      start: entry.offset,
      end,
      skip: entry.innerOffset,
      size: length,
      digest: isZeros || own === '' ? undefined : own,
    }
  })
  if (position !== size)
    throw new ArchiveError('invalid', 'the chunks of a file are not as long as the file')
  return chunks
}
