import type { ImageFile, LayerFile } from '../../archive/archive.ts'
import { formatSize } from '../../oci/amounts.ts'
import { printable } from '../output/printable.ts'

type Row = LayerFile | ImageFile

const letters: Readonly<Record<Row['type'], string>> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  hardlink: 'h',
  char: 'c',
  block: 'b',
  fifo: 'p',
  whiteout: 'w',
  opaque: 'o',
  other: '?',
}

export function shortLine(row: Row): string {
  const path = printable(row.path === '' ? '.' : row.path)
  if (row.type === 'whiteout') return `${path} (removes what lower layers have there)`
  if (row.type === 'opaque') return `${path}/ (hides what lower layers have in it)`
  if ('isOpaque' in row) return `${path}/ (hides what lower layers have in it)`
  const mark = row.type === 'directory' ? '/' : ''
  const removed = 'isRemoved' in row ? ' (removed)' : ''
  return `${path}${mark}${removed}`
}

/** As `ls -l` writes it; then what layers did, such as `0 added, 3 changed`. */
export function longLine(row: Row): string {
  const { type, mode, uid, gid, size, modified, link } = row
  const time = new Date(Math.min(modified, maxTime) * 1000).toISOString()
  const columns = [
    `${letters[type]}${permissions(mode)}`,
    `${uid}:${gid}`.padEnd(11),
    String(size).padStart(11),
    `${time.slice(0, 10)} ${time.slice(11, 16)}`,
    ...('layer' in row ? [history(row).padEnd(9)] : []),
    shortLine(row),
  ]
  const target = link === undefined ? '' : ` -> ${printable(link)}`
  return `${columns.join(' ')}${target}`
}

/** Seconds: the end of the year 9999. */
const maxTime = 253_402_300_799

function permissions(mode: number): string {
  const special = [
    [0o4000, 2, 's'],
    [0o2000, 5, 's'],
    [0o1000, 8, 't'],
  ] as const
  const bits = [...'rwxrwxrwx'].map((letter, at) => (mode & (0o400 >> at) ? letter : '-'))
  for (const [bit, at, letter] of special)
    if (mode & bit) bits[at] = bits[at] === 'x' ? letter : letter.toUpperCase()
  return bits.join('')
}

/** The layers, as `0`, or `0>2` if layer 2 changed what layer 0 had, `0>-3` if layer 3 removed it. */
function history({ layer, changes = [] }: ImageFile): string {
  if (changes.length === 0) return `#${layer}`
  const steps = changes.map((one) => `${one.change === 'removed' ? '-' : ''}${one.layer}`)
  return `#${steps.join('>')}`
}

type Layer = {
  readonly digest: string
  readonly size: number
  readonly from: string | undefined
  readonly files: number | undefined
  readonly hidden: number | undefined
}

export function summaryLines(
  totals: { readonly files: number; readonly size: number; readonly removed: number },
  layers: readonly Layer[],
): string {
  const lines = layers.map(({ digest, size, from, files = 0, hidden = 0 }, at) =>
    [
      `#${at}`.padEnd(4),
      digest,
      `${formatSize(size)} in the registry,`,
      `${formatSize(files)} of files,`,
      `${formatSize(hidden)} hidden by upper layers`,
      ...(from === 'contents' ? ['(by its table of contents)'] : []),
    ].join(' '),
  )
  const { files, size, removed } = totals
  return [...lines, `${files} files, ${formatSize(size)}; ${removed} paths removed`].join('\n')
}
