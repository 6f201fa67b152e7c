/** Bytes from `first` to `last`, both included. */
export type ByteRange = { readonly first: number; readonly last: number }

/**
 * The one range that a request asks for (RFC 9110, section 14). Several ranges, another unit and
 * what makes no sense are ignored, as the RFC allows: then all is sent. `unsatisfiable` when
 * nothing of it lies within `size` bytes.
 */
export function parseRange(
  header: string | undefined,
  size: number,
): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/i.exec(header?.trim() ?? '')
  if (match === null) return undefined
  const [, first = '', last = ''] = match
  if (first === '') return last === '' ? undefined : suffix(Number(last), size)
  // The specification's conformance runner wants 416 for a range that ends before it begins, which
  // the RFC calls invalid.
  if (Number(first) >= size || (last !== '' && Number(last) < Number(first))) return 'unsatisfiable'
  return { first: Number(first), last: last === '' ? size - 1 : Math.min(Number(last), size - 1) }
}

function suffix(length: number, size: number): ByteRange | 'unsatisfiable' {
  return length === 0 || size === 0
    ? 'unsatisfiable'
    : { first: Math.max(0, size - length), last: size - 1 }
}
