import { digestOf } from '../../oci/digest.ts'
import { ArchiveError } from '../archive-error.ts'
import { decompress } from '../decompress.ts'
import { tarEntries } from '../tar-entries.ts'
import { bytesIn, collect } from './blob-bytes.ts'
import { type Contents, parseContents } from './contents.ts'
import type { LayerBlob } from './layer-blob.ts'
import type { LayerLimits } from './layer-limits.ts'

const annotation = 'containerd.io/snapshot/stargz/toc.digest'
const tableName = 'stargz.index.json'
/** A gzip member without content, whose extra field names the position of the table. */
const footerSize = 51
const footerStart = Buffer.from([0x1f, 0x8b, 0x08, 0x04])
/** Its length, the identifier SG, the length of the field. */
const extraStart = Buffer.from('1a0053471600', 'hex')
const extraField = /^([0-9a-f]{16})STARGZ$/

/**
 * The table of contents of an eStargz layer (containerd/stargz-snapshotter, docs/estargz.md). Undefined: the
 * manifest names none.
 * @throws ArchiveError if it is not what the manifest says.
 */
export async function readEstargz(
  blob: LayerBlob,
  limits: LayerLimits,
): Promise<Contents | undefined> {
  const expected = blob.annotations[annotation]
  if (expected === undefined) return undefined
  const position = await readFooter(blob)
  const end = blob.size - footerSize
  if (position >= end || end - position > limits.contents)
    throw new ArchiveError('invalid', 'the footer of an eStargz layer has an invalid position')
  const chunks = bytesIn(blob, { start: position, end })
  const small = { ...limits, size: limits.contents }
  const table = decompress({ chunks, size: end - position, compression: 'gzip' }, small)
  for await (const { name, size, content } of tarEntries(table, small)) {
    if (name !== tableName) continue
    const json = await collect(content, size)
    if (digestOf(json) !== expected)
      throw new ArchiveError('invalid', 'the table of contents of an eStargz layer is another one')
    return parseContents(json, { compression: 'gzip', position, limits })
  }
  throw new ArchiveError('invalid', 'an eStargz layer has no table of contents')
}

async function readFooter(blob: LayerBlob): Promise<number> {
  if (blob.size <= footerSize) throw new ArchiveError('invalid', 'an eStargz layer has no footer')
  const range = { start: blob.size - footerSize, end: blob.size }
  const footer = await collect(bytesIn(blob, range), footerSize)
  const [, position] = extraField.exec(footer.toString('latin1', 16, 38)) ?? []
  const isFooter =
    footer.subarray(0, 4).equals(footerStart) && footer.subarray(10, 16).equals(extraStart)
  if (position === undefined || !isFooter)
    throw new ArchiveError('invalid', 'an eStargz layer has no footer')
  return Number.parseInt(position, 16)
}
