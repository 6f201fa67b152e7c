/** Bytes from `first` to `reference`, both included. */
export type ByteRange = { readonly first: number; readonly last: number }

/** The most that podman requests at once (containers/storage, `maxNumberMissingChunks`). */
export const maxRanges = 1024

/**
 * Parses a Range header (RFC 9110, section 14) for a content of `size` bytes. Sorts the ranges and joins
 * overlapping ones, since a content is read forward only, and no byte is sent twice. Undefined, for the
 * whole content, when the header is absent, invalid or has another unit, as the RFC allows.
 * `unsatisfiable` when no range lies within the content, or when there are too many.
 */
export function parseRanges(
  header: string | undefined,
  size: number,
): readonly ByteRange[] | 'unsatisfiable' | undefined {
  const [, list] = /^bytes=(.*)$/is.exec(header?.trim() ?? '') ?? []
  if (list === undefined) return undefined
  const specs = list.split(',').map((spec) => spec.trim())
  if (specs.length > maxRanges) return 'unsatisfiable'
  const parsed = specs.map((spec) => parseRange(spec, size))
  if (parsed.includes(undefined)) return undefined
  const ranges = parsed.filter((range) => range !== undefined && range !== 'unsatisfiable')
  return ranges.length === 0 ? 'unsatisfiable' : joinOverlapping(ranges)
}

function parseRange(spec: string, size: number): ByteRange | 'unsatisfiable' | undefined {
  const match = /^(\d*)-(\d*)$/.exec(spec)
  if (match === null) return undefined
  const [, first = '', last = ''] = match
  if (first === '') return last === '' ? undefined : parseSuffix(Number(last), size)
  // The conformance tests of distribution-spec expect 416 for a range that ends before it begins; RFC
  // 9110 calls it invalid.
  if (Number(first) >= size || (last !== '' && Number(last) < Number(first))) return 'unsatisfiable'
  return { first: Number(first), last: last === '' ? size - 1 : Math.min(Number(last), size - 1) }
}

function parseSuffix(length: number, size: number): ByteRange | 'unsatisfiable' {
  return length === 0 || size === 0
    ? 'unsatisfiable'
    : { first: Math.max(0, size - length), last: size - 1 }
}

/** Adjacent ranges stay separate: podman counts the parts of the response. */
function joinOverlapping(ranges: readonly ByteRange[]): readonly ByteRange[] {
  const joined: ByteRange[] = []
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const before = joined.at(-1)
    if (before === undefined || range.first > before.last) joined.push(range)
    else joined[joined.length - 1] = { ...before, last: Math.max(before.last, range.last) }
  }
  return joined
}
