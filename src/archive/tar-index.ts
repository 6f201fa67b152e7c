import { ArchiveError } from './archive-error.ts'
import type { Limits } from './limits.ts'
import type { StableFile } from './stable-file.ts'
import { assertShort, type Extended, extendBy, isExtension } from './tar-extensions.ts'
import { blockSize, parseTarHeader, type TarHeader } from './tar-header.ts'

/** Where the content of a file is in the archive; or the entry that it is a link to. */
export type TarEntry =
  | { readonly kind: 'file'; readonly position: number; readonly size: number }
  | { readonly kind: 'link'; readonly target: string }

/** Headers are read in windows of this many bytes: most contents are larger, and skipped. */
const windowSize = 16 * 1024

/**
 * Lists the files of a tar archive by name, without reading their contents, so that a library that parses
 * a stream is of no use. Nothing is ever written under a name of the archive.
 * @throws ArchiveError
 */
export async function indexTar(
  file: StableFile,
  limits: Limits,
): Promise<ReadonlyMap<string, TarEntry>> {
  const entries = new Map<string, TarEntry>()
  const readBlock = createWindow(file)
  let position = 0
  let extended: Extended = {}
  let seen = 0
  while (true) {
    const header = parseTarHeader(await readBlock(position))
    if (header === undefined) break
    seen += 1
    if (seen > limits.entries)
      throw new ArchiveError('too-large', `the archive has more than ${limits.entries} entries`)
    const size = isExtension(header) ? header.size : (extended.size ?? header.size)
    const content = position + blockSize
    const next = content + Math.ceil(size / blockSize) * blockSize
    if (!Number.isSafeInteger(next))
      throw new ArchiveError('invalid', 'an entry has an invalid size')
    if (content + size > file.size)
      throw new ArchiveError('incomplete', 'the archive ends in the middle of an entry')
    if (isExtension(header)) {
      extended = await extend(extended, header, { file, content, limits })
    } else {
      add(entries, { header, extended, content, size, limits })
      extended = {}
    }
    position = next
  }
  if (extended.name !== undefined) throw new ArchiveError('invalid', 'the archive ends in a header')
  return entries
}

/** A file without the block of zeros at its end may still be written. */
function createWindow(file: StableFile): (position: number) => Promise<Buffer> {
  let start = 0
  let window: Buffer = Buffer.alloc(0)
  return async (position) => {
    if (position + blockSize > file.size)
      throw new ArchiveError('incomplete', 'the archive has no end mark')
    if (position < start || position + blockSize > start + window.length) {
      start = position
      window = await file.bytes(position, Math.min(windowSize, file.size - position))
    }
    return window.subarray(position - start, position - start + blockSize)
  }
}

async function extend(
  before: Extended,
  header: TarHeader,
  { file, content, limits }: { file: StableFile; content: number; limits: Limits },
): Promise<Extended> {
  assertShort(header, limits)
  return extendBy(before, header.type, await file.bytes(content, header.size))
}

type Found = {
  readonly header: TarHeader
  readonly extended: Extended
  readonly content: number
  readonly size: number
  readonly limits: Limits
}

function add(
  entries: Map<string, TarEntry>,
  { header, extended, content, size, limits }: Found,
): void {
  const name = parseEntryName(extended.name ?? header.name, limits)
  switch (header.type) {
    case '5':
      return
    case '0':
    case '7':
      return set(entries, name, { kind: 'file', position: content, size })
    case '1':
      return set(entries, name, {
        kind: 'link',
        target: parseEntryName(extended.linkName ?? header.linkName, limits),
      })
    case '2':
      return set(entries, name, {
        kind: 'link',
        target: resolveLink(name, extended.linkName ?? header.linkName, limits),
      })
    default:
      throw new ArchiveError(
        'invalid',
        `${quote(name)} is neither a file nor a directory nor a link`,
      )
  }
}

/** The danger: with two files of one name, two readers would see two different images. */
function set(entries: Map<string, TarEntry>, name: string, entry: TarEntry): void {
  if (entries.has(name)) throw new ArchiveError('invalid', `the archive has ${quote(name)} twice`)
  entries.set(name, entry)
}

/**
 * A name without `./` in front.
 * @throws ArchiveError for names that would leave the directory of the archive.
 */
export function parseEntryName(text: string, limits: Limits): string {
  if (text.length > limits.name)
    throw new ArchiveError('too-large', 'a name in the archive is too long')
  const parts = text.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.length > limits.nameParts)
    throw new ArchiveError('too-large', 'a name in the archive has too many parts')
  const isUnsafe = text.startsWith('/') || /^[A-Za-z]:|[\0\\]/.test(text) || parts.includes('..')
  if (isUnsafe)
    throw new ArchiveError('invalid', `the archive has a name that leaves it: ${quote(text)}`)
  return parts.join('/')
}

/** docker before version 25 writes a repeated layer as a symbolic link `../ID/layer.tar`. */
function resolveLink(name: string, target: string, limits: Limits): string {
  const parts = name.split('/').slice(0, -1)
  for (const part of target.split('/')) {
    if (part === '..' && parts.pop() === undefined)
      throw new ArchiveError('invalid', `the link ${quote(name)} leaves the archive`)
    if (part !== '..' && part !== '.' && part !== '') parts.push(part)
  }
  if (target.startsWith('/'))
    throw new ArchiveError('invalid', `the link ${quote(name)} leaves the archive`)
  return parseEntryName(parts.join('/'), limits)
}

function quote(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name)
}
