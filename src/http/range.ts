/** Bytes from `first` to `reference`, both included. */
export type ByteRange = { readonly first: number; readonly last: number }

/** As many as podman asks for at once (containers/storage, `maxNumberMissingChunks`). */
export const maxRanges = 1024

/**
 * The ranges that a request asks for (RFC 9110, section 14): those that lie within `size` bytes, in
 * the order of the request. Ranges that overlap, or that go back, are sorted and joined where they
 * overlap: a content is read forward, and nothing is sent twice. Another unit and what makes no sense
 * are ignored, as the RFC allows: then all is sent. `unsatisfiable` when none lies within the content,
 * or when there are too many.
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
  // The specification's conformance runner wants 416 for a range that ends before it begins, which
  // the RFC calls invalid.
  if (Number(first) >= size || (last !== '' && Number(last) < Number(first))) return 'unsatisfiable'
  return { first: Number(first), last: last === '' ? size - 1 : Math.min(Number(last), size - 1) }
}

function parseSuffix(length: number, size: number): ByteRange | 'unsatisfiable' {
  return length === 0 || size === 0
    ? 'unsatisfiable'
    : { first: Math.max(0, size - length), last: size - 1 }
}

/** Neighbours stay apart: podman counts the parts that it gets. */
function joinOverlapping(ranges: readonly ByteRange[]): readonly ByteRange[] {
  const joined: ByteRange[] = []
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const before = joined.at(-1)
    if (before === undefined || range.first > before.last) joined.push(range)
    else joined[joined.length - 1] = { ...before, last: Math.max(before.last, range.last) }
  }
  return joined
}
