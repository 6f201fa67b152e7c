import { randomUUID } from 'node:crypto'
import type { ByteRange } from './range.ts'
import type { Part } from './send.ts'

/** Which bytes of a blob a response has, and the headers that describe them. */
type BlobBody = {
  readonly headers: Readonly<Record<string, string | number>>
  readonly first: number
  readonly parts: readonly Part[]
  readonly epilogue?: Buffer
}

export const blobMediaType = 'application/octet-stream'

/** The whole blob of `size` bytes, one range, or several ranges as a multipart body. */
export function blobBody(ranges: readonly ByteRange[] | undefined, size: number): BlobBody {
  const [range = { first: 0, last: size - 1 }, ...others] = ranges ?? []
  if (others.length > 0) return multipart([range, ...others], size)
  return {
    first: range.first,
    parts: [range],
    headers: {
      'content-length': range.last + 1 - range.first,
      ...(ranges !== undefined && { 'content-range': contentRange(range, size) }),
    },
  }
}

/** As `multipart/byteranges` (RFC 9110, section 14.6). */
function multipart(ranges: readonly [ByteRange, ...ByteRange[]], size: number): BlobBody {
  const boundary = randomUUID()
  const parts = ranges.map((range, at) => ({
    ...range,
    preamble: Buffer.from(
      `${at === 0 ? '' : '\r\n'}--${boundary}\r\nContent-Type: ${blobMediaType}\r\n` +
        `Content-Range: ${contentRange(range, size)}\r\n\r\n`,
    ),
  }))
  const epilogue = Buffer.from(`\r\n--${boundary}--\r\n`)
  return {
    first: ranges[0].first,
    parts,
    epilogue,
    headers: {
      'content-type': `multipart/byteranges; boundary=${boundary}`,
      'content-length': parts.reduce(
        (sum, { first, last, preamble }) => sum + preamble.length + last + 1 - first,
        epilogue.length,
      ),
    },
  }
}

function contentRange({ first, last }: ByteRange, size: number): string {
  return `bytes ${first}-${last}/${size}`
}
