import { open } from 'node:fs/promises'

const mebibyte = 1024 * 1024
/** Bytes of the largest object that is written in one request: its bytes are in memory. */
export const maxWhole = 16 * mebibyte
/** Of an upload in parts. */
const maxParts = 10_000

/** `to`: exclusive. */
type Part = { readonly from: number; readonly to: number }

/** Parts of an upload, whose bytes are in memory one after the other. */
export function partsOf(size: number): readonly Part[] {
  const step = Math.max(maxWhole, Math.ceil(size / maxParts / mebibyte) * mebibyte)
  return Array.from({ length: Math.ceil(size / step) }, (_, at) => ({
    from: at * step,
    to: Math.min((at + 1) * step, size),
  }))
}

export async function readPart(path: string, { from, to }: Part): Promise<Buffer> {
  const file = await open(path)
  try {
    const bytes = Buffer.allocUnsafeSlow(to - from)
    for (let length = 0; length < bytes.length; ) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length, from + length)
      if (bytesRead === 0) throw new Error(`${path} ends after ${from + length} bytes`)
      length += bytesRead
    }
    return bytes
  } finally {
    await file.close()
  }
}
