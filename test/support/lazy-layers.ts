import { createHash } from 'node:crypto'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { digestOf } from '../../src/oci/digest.ts'
import { layerBlob, type RecordedBlob } from './layer-blobs.ts'
import { type TarItem, tarFile } from './tar-file.ts'

// Layers with tables of contents, written by their specifications: eStargz (containerd/stargz-snapshotter,
// docs/estargz.md) and zstd:chunked (containers/storage, pkg/chunked/internal). Clients' own are in test/clients.

const types: Readonly<Record<string, string>> = {
  '0': 'reg',
  '1': 'hardlink',
  '2': 'symlink',
  '5': 'dir',
}

export type LazyOptions = {
  /** Bytes of a chunk before compression. */
  readonly chunkSize?: number
  /** Changes the table before its digest is computed. */
  readonly edit?: (entries: Record<string, unknown>[]) => void
  /** Changes the layer, not its description. */
  readonly damage?: (bytes: Buffer) => void
  readonly annotations?: (own: Record<string, string>) => Record<string, string>
}

const sha256 = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

function entryOf({ name, type = '0', linkName, mode = 0o644 }: TarItem, content: Buffer) {
  return {
    name,
    type: types[type],
    mode,
    uid: 1000,
    gid: 1000,
    modtime: '2024-10-04T14:47:28Z',
    ...(linkName !== undefined && { linkName }),
    ...(content.length > 0 && { size: content.length, digest: sha256(content) }),
  }
}

type Compress = (bytes: Buffer) => Buffer

/** Each header, and each chunk of a content, compressed by itself; and the entries of the table. */
function compressParts(items: readonly TarItem[], compress: Compress, options: LazyOptions) {
  const { chunkSize = 4096, edit } = options
  const parts: Buffer[] = []
  const entries: Record<string, unknown>[] = []
  let position = 0
  const add = (bytes: Buffer) => {
    const part = compress(bytes)
    parts.push(part)
    position += part.length
  }
  for (const item of items) {
    const content = Buffer.from(item.content ?? '')
    const tar = tarFile([item], { end: false })
    add(tar.subarray(0, 512))
    const chunks = []
    for (let at = 0; at < content.length; at += chunkSize) {
      const chunk = content.subarray(at, at + chunkSize)
      chunks.push({ offset: position, chunkOffset: at, chunk })
      add(chunk)
    }
    entries.push(entryOf(item, content))
    for (const [at, { chunk, offset, chunkOffset }] of chunks.entries()) {
      const isLast = at === chunks.length - 1
      if (at > 0) entries.push({ name: item.name, type: 'chunk' })
      Object.assign(entries.at(-1) ?? {}, {
        offset,
        ...(chunkOffset > 0 && { chunkOffset }),
        ...(!isLast && { chunkSize: chunk.length }),
        chunkDigest: sha256(chunk),
      })
    }
    const rest = tar.subarray(512 + content.length)
    if (rest.length > 0) add(rest)
  }
  edit?.(entries)
  return { parts, position, json: Buffer.from(JSON.stringify({ version: 1, entries })) }
}

function describe(bytes: Buffer, own: Record<string, string>, kind: string, options: LazyOptions) {
  const { damage, annotations = (all) => all } = options
  const sent = Buffer.from(bytes)
  damage?.(sent)
  const mediaType = `application/vnd.oci.image.layer.v1.tar+${kind}`
  return layerBlob(bytes, { mediaType, annotations: annotations(own), sent })
}

export function estargzLayer(items: readonly TarItem[], options: LazyOptions = {}): RecordedBlob {
  const { parts, position, json } = compressParts(items, gzipSync, options)
  const table = gzipSync(tarFile([{ name: 'stargz.index.json', content: json }]))
  const footer = Buffer.alloc(51)
  Buffer.from('1f8b08040000000000ff1a0053471600', 'hex').copy(footer)
  footer.write(`${position.toString(16).padStart(16, '0')}STARGZ`, 16)
  Buffer.from('010000ffff', 'hex').copy(footer, 38)
  const own = { 'containerd.io/snapshot/stargz/toc.digest': digestOf(json) }
  return describe(Buffer.concat([...parts, table, footer]), own, 'gzip', options)
}

export function zstdChunkedLayer(
  items: readonly TarItem[],
  options: LazyOptions = {},
): RecordedBlob {
  const { parts, position, json } = compressParts(items, zstdCompressSync, options)
  const end = zstdCompressSync(Buffer.alloc(1024))
  const table = zstdCompressSync(json)
  const start = position + end.length + 8
  const footer = Buffer.alloc(64)
  footer.writeBigUInt64LE(BigInt(start), 0)
  footer.writeBigUInt64LE(BigInt(table.length), 8)
  footer.writeBigUInt64LE(BigInt(json.length), 16)
  footer.writeBigUInt64LE(1n, 24)
  footer.write('GNUlInUx', 56)
  const prefix = 'io.github.containers.zstd-chunked'
  const own = {
    [`${prefix}.manifest-checksum`]: sha256(table),
    [`${prefix}.manifest-position`]: `${start}:${table.length}:${json.length}:1`,
  }
  const bytes = Buffer.concat([...parts, end, skippable(table), skippable(footer)])
  return describe(bytes, own, 'zstd', options)
}

/** RFC 8878, section 3.1.2. */
function skippable(content: Buffer): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32LE(0x184d2a50, 0)
  header.writeUInt32LE(content.length, 4)
  return Buffer.concat([header, content])
}
