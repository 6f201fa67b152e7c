import { algorithmOf, digestOf, isDigest } from '../../oci/digest.ts'
import { ArchiveError } from '../archive-error.ts'
import { oneChunk } from '../bytes.ts'
import { decompress } from '../decompress.ts'
import { bytesIn, collect } from './blob-bytes.ts'
import { type Contents, parseContents } from './contents.ts'
import type { LayerBlob } from './layer-blob.ts'
import type { LayerLimits } from './layer-limits.ts'

/** The second one is that of podman 4.3 and of stargz-snapshotter. */
const prefixes = ['io.github.containers.zstd-chunked', 'io.containers.zstd-chunked'] as const
/** `POSITION:LENGTH:UNCOMPRESSED:TYPE`; type 1 is the JSON of CRFS. */
const place = /^(\d{1,15}):(\d{1,15}):(\d{1,15}):1$/

/**
 * The table of contents of a zstd:chunked layer (containers/storage, pkg/chunked). As there, its position
 * comes from the annotations, not from the footer, since without them nothing verifies the table. Undefined:
 * the manifest names none.
 * @throws ArchiveError if it is not what the manifest says.
 */
export async function readZstdChunked(
  blob: LayerBlob,
  limits: LayerLimits,
): Promise<Contents | undefined> {
  const expected = annotationOf(blob, 'manifest-checksum')
  const named = place.exec(annotationOf(blob, 'manifest-position'))
  if (!isDigest(expected) || named === null) return undefined
  const [position = 0, length = 0, size = 0] = named.slice(1).map(Number)
  if (position + length > blob.size || Math.max(length, size) > limits.contents)
    throw new ArchiveError('invalid', 'the table of contents of a zstd:chunked layer is too large')
  const range = { start: position, end: position + length }
  const compressed = await collect(bytesIn(blob, range), length)
  if (digestOf(compressed, algorithmOf(expected)) !== expected)
    throw new ArchiveError(
      'invalid',
      'the table of contents of a zstd:chunked layer is another one',
    )
  const chunks = oneChunk(compressed)
  const options = { chunks, size: length, compression: 'zstd' } as const
  const json = await collect(decompress(options, { ...limits, size: limits.contents }), size)
  return parseContents(json, { compression: 'zstd', position, limits })
}

function annotationOf({ annotations }: LayerBlob, name: string): string {
  const values = prefixes.map((prefix) => annotations[`${prefix}.${name}`])
  return values.find((value) => value !== undefined) ?? ''
}
