import type { LayerBlob, LayerFile } from '../../src/archive/archive.ts'
import { listLayerFiles } from '../../src/archive/archive.ts'
import { digestOf } from '../../src/oci/digest.ts'

/** A layer in memory that records which of its bytes were read. */
export type RecordedBlob = LayerBlob & {
  readonly ranges: { readonly start: number; readonly end: number }[]
}

type Options = {
  readonly mediaType?: string
  readonly annotations?: Readonly<Record<string, string>>
  /** Bytes that the source sends instead. */
  readonly sent?: Buffer
}

export function layerBlob(
  bytes: Buffer,
  {
    mediaType = 'application/vnd.oci.image.layer.v1.tar',
    annotations = {},
    sent = bytes,
  }: Options = {},
): RecordedBlob {
  const ranges: RecordedBlob['ranges'] = []
  return {
    digest: digestOf(bytes),
    size: bytes.length,
    mediaType,
    annotations,
    ranges,
    async *read({ start, end }) {
      ranges.push({ start, end })
      // Chunks that end anywhere.
      for (let at = start; at < end; at += 77_777)
        yield sent.subarray(at, Math.min(at + 77_777, end))
    },
  }
}

export async function entriesOf(layer: LayerBlob): Promise<readonly LayerFile[]> {
  const all: LayerFile[] = []
  for await (const batch of (await listLayerFiles(layer)).batches) all.push(...batch)
  return all
}

export async function textOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all).toString()
}
