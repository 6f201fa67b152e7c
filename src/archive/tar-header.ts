import { ArchiveError } from './archive-error.ts'

/** Bytes of a header, and the unit of all sizes in a tar file (POSIX pax, "ustar Interchange Format"). */
export const blockSize = 512

export type TarHeader = {
  readonly name: string
  /** Bytes of the content, which follows in whole blocks. */
  readonly size: number
  /** POSIX `typeflag`: `0` a file, `5` a directory, `x` a PAX header … */
  readonly type: string
  readonly linkName: string
  /** Permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Seconds since 1970. */
  readonly modified: number
}

const zeroBlock = Buffer.alloc(blockSize)
const checksumAt = 148
const checksumLength = 8

/**
 * Parses one header block. Undefined: a block of zeros, which ends the archive.
 * @throws ArchiveError `invalid` for anything else that is not a header.
 */
export function parseTarHeader(block: Buffer): TarHeader | undefined {
  if (block.equals(zeroBlock)) return undefined
  const checksum = parseNumber(block.subarray(checksumAt, checksumAt + checksumLength))
  if (checksum !== checksumOf(block))
    throw new ArchiveError(
      'invalid',
      'not a tar archive, or corrupt: a header has a wrong checksum',
    )
  const prefix = isUstar(block) ? text(block.subarray(345, 500)) : ''
  const name = text(block.subarray(0, 100))
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    size: parseNumber(block.subarray(124, 136)),
    type: String.fromCharCode(block[156] || 0x30),
    linkName: text(block.subarray(157, 257)),
    mode: parseNumber(block.subarray(100, 108)) & 0o7777,
    uid: parseOwner(block.subarray(108, 116)),
    gid: parseOwner(block.subarray(116, 124)),
    modified: parseModified(block.subarray(136, 148)),
  }
}

/** GNU tar uses these bytes for other fields. */
function isUstar(block: Buffer): boolean {
  return block.subarray(257, 263).equals(Buffer.from('ustar\0'))
}

/** The sum of all bytes, with the checksum itself as spaces. */
function checksumOf(block: Buffer): number {
  let sum = 0x20 * checksumLength
  for (let at = 0; at < blockSize; at += 1)
    if (at < checksumAt || at >= checksumAt + checksumLength) sum += block[at] ?? 0
  return sum
}

function text(field: Buffer): string {
  const end = field.indexOf(0)
  return field.toString('utf8', 0, end < 0 ? field.length : end)
}

/** Octal digits, or GNU's base 256 for numbers that need more than eleven of them (8 GiB). */
function parseNumber(field: Buffer): number {
  const [first = 0] = field
  if (first >= 0x80) return parseBase256(field)
  const digits = text(field).trim()
  if (!/^[0-7]*$/.test(digits))
    throw new ArchiveError('invalid', 'a tar header has an invalid number')
  return digits === '' ? 0 : Number.parseInt(digits, 8)
}

/** A time before 1970 counts as 1970: it does not matter. */
function parseModified(field: Buffer): number {
  return (field[0] ?? 0) === 0xff ? 0 : parseNumber(field)
}

/** An owner that is no number counts as root: nothing is done with it but to show it. */
function parseOwner(field: Buffer): number {
  try {
    return parseNumber(field)
  } catch {
    return 0
  }
}

function parseBase256(field: Buffer): number {
  let value = (field[0] ?? 0) & 0x7f
  for (const byte of field.subarray(1)) value = value * 256 + byte
  // The sign bit makes a negative number too large as well.
  if (!Number.isSafeInteger(value))
    throw new ArchiveError('invalid', 'a tar header has a negative or too large number')
  return value
}

/** The records `LENGTH KEY=VALUE\n` of a PAX header (POSIX pax, "pax Header Block"). */
export function parsePaxRecords(bytes: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>()
  let at = 0
  while (at < bytes.length) {
    const space = bytes.indexOf(0x20, at)
    const digits = bytes.toString('latin1', at, Math.max(space, at))
    const length = /^\d{1,9}$/.test(digits) ? Number(digits) : 0
    const end = at + length
    const equals = bytes.indexOf(0x3d, space)
    const isWhole = end <= bytes.length && bytes[end - 1] === 0x0a && equals > space && equals < end
    if (!isWhole) throw new ArchiveError('invalid', 'a PAX header is corrupt')
    records.set(
      bytes.toString('utf8', space + 1, equals),
      bytes.toString('utf8', equals + 1, end - 1),
    )
    at = end
  }
  return records
}

/** Bytes of a name in a plain header. */
const maxName = 100

/** What precedes the content of a file: a header, and a PAX header if the name is long. */
export function formatTarHeader(file: { readonly name: string; readonly size: number }): Buffer {
  if (Buffer.byteLength(file.name) <= maxName) return formatPlainHeader({ ...file, type: '0' })
  const extension = formatPaxHeader({ path: file.name })
  return Buffer.concat([extension, formatPlainHeader({ ...file, name: 'file', type: '0' })])
}

type Plain = { readonly name: string; readonly size: number; readonly type: '0' | 'x' }

/** Of a file of root and of 1970, so that equal contents give equal archives. */
function formatPlainHeader({ name, size, type }: Plain): Buffer {
  const block = Buffer.alloc(blockSize)
  block.write(name, 0, maxName, 'utf8')
  block.write('0000644\0', 100)
  block.write('0000000\0', 108)
  block.write('0000000\0', 116)
  writeSize(block, size)
  block.write('00000000000\0', 136)
  block.write(type, 156)
  block.write('ustar\u000000', 257)
  block.write(`${checksumOf(block).toString(8).padStart(6, '0')}\0 `, checksumAt)
  return block
}

function writeSize(block: Buffer, size: number): void {
  const octal = size.toString(8)
  if (octal.length <= 11) {
    block.write(`${octal.padStart(11, '0')}\0`, 124)
    return
  }
  block[124] = 0x80
  block.writeBigUInt64BE(BigInt(size), 128)
}

function formatPaxHeader(records: Readonly<Record<string, string>>): Buffer {
  const body = Buffer.from(Object.entries(records).map(formatPaxRecord).join(''))
  const header = formatPlainHeader({ name: 'pax', size: body.length, type: 'x' })
  return Buffer.concat([header, body, padding(body.length)])
}

/** The length counts itself. */
function formatPaxRecord([key, value]: readonly [string, string]): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`)
  let length = rest + String(rest).length
  if (rest + String(length).length !== length) length = rest + String(length).length
  return `${length} ${key}=${value}\n`
}

/** Zeros that fill the last block of a content. */
export function padding(size: number): Buffer {
  return zeroBlock.subarray(0, (blockSize - (size % blockSize)) % blockSize)
}

/** Two blocks of zeros. */
export const tarEnd = Buffer.alloc(2 * blockSize)
