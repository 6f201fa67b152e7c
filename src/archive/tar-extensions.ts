import { ArchiveError } from './archive-error.ts'
import type { Limits } from './limits.ts'
import { parsePaxRecords, type TarHeader } from './tar-header.ts'

/** What the headers in front of an entry say about it. */
export type Extended = {
  readonly name?: string
  readonly linkName?: string
  readonly size?: number
  readonly uid?: number
  readonly gid?: number
  readonly modified?: number
}

/** Of PAX (`x`, `g`) and GNU (`L` name, `K` link name). */
export function isExtension({ type }: TarHeader): boolean {
  return 'xgLK'.includes(type)
}

/** @throws ArchiveError before the content of an extension is read into memory. */
export function assertShort({ size }: TarHeader, limits: Limits): void {
  if (size > limits.name * 2)
    throw new ArchiveError('too-large', 'a header of the archive is too long')
}

/** Adds what an extension with this content says. */
export function extendBy(before: Extended, type: string, bytes: Buffer): Extended {
  // Global headers: git writes comments there, and nothing that matters here.
  if (type === 'g') return before
  if (type === 'L') return { ...before, name: untilZero(bytes) }
  if (type === 'K') return { ...before, linkName: untilZero(bytes) }
  const records = parsePaxRecords(bytes)
  if ([...records.keys()].some((key) => key.startsWith('GNU.sparse')))
    throw new ArchiveError('invalid', 'the archive has sparse files, which no image archive has')
  const [name, linkName, length] = ['path', 'linkpath', 'size'].map((key) => records.get(key))
  return {
    ...before,
    ...(name !== undefined && { name }),
    ...(linkName !== undefined && { linkName }),
    ...(length !== undefined && { size: parseSize(length) }),
    ...attributesIn(records),
  }
}

/** What is no number is left out: it does not matter. A time before 1970 counts as 1970. */
function attributesIn(records: ReadonlyMap<string, string>): Extended {
  const numberOf = (key: string): number | undefined => {
    const text = records.get(key) ?? ''
    return /^-?\d{1,15}(?:\.\d*)?$/.test(text) ? Math.max(Math.floor(Number(text)), 0) : undefined
  }
  const [uid, gid, modified] = ['uid', 'gid', 'mtime'].map(numberOf)
  return {
    ...(uid !== undefined && { uid }),
    ...(gid !== undefined && { gid }),
    ...(modified !== undefined && { modified }),
  }
}

function untilZero(bytes: Buffer): string {
  const end = bytes.indexOf(0)
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end)
}

function parseSize(text: string): number {
  const size = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(size))
    throw new ArchiveError('invalid', 'a PAX header has an invalid size')
  return size
}
