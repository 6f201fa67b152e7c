import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readlink, symlink } from 'node:fs/promises'
import { ArchiveError } from './archive-error.ts'
import { openConfinedDirectory, type Place, temporaryMode } from './confined-directory.ts'
import { layerName, meaningOf, quote, splitName } from './layer-names.ts'
import type { Limits } from './limits.ts'
import { type StreamedEntry, tarEntries } from './tar-entries.ts'

/** What was written. */
export type Unpacked = {
  readonly files: number
  /** Of the files. */
  readonly bytes: number
  /** Devices and FIFOs, which are not created. */
  readonly skipped: number
}

/** Layers on top of each other in one directory. */
export interface Unpacking {
  apply(layer: AsyncIterable<Buffer>): Promise<void>
  /** Gives directories their modes, which could forbid to write to them before. */
  finish(): Promise<Unpacked>
  close(): Promise<void>
}

type Attributes = { readonly mode: number; readonly modified: number }

const newFile =
  constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0)
/** Without setuid and setgid: the file would belong to another user than in the image. */
const fileBits = 0o777
const directoryBits = 0o1777
/** Seconds: the end of the year 9999. */
const maxTime = 253_402_300_799

export async function createUnpacking(root: string, limits: Limits): Promise<Unpacking> {
  /** What the current layer has, with all parents: whiteouts concern the layers below it. */
  const own = new Set<string>()
  const directories = new Map<string, Attributes>()
  let [entries, files, bytes, skipped] = [0, 0, 0, 0]

  const confined = await openConfinedDirectory(root, {
    // A link of a lower layer is hidden by a directory of an upper one, as overlayfs does it.
    onObstacle: (name) => {
      if (own.has(name)) throw new ArchiveError('invalid', `a layer goes through ${quote(name)}`)
    },
    onParent: (name) => directories.set(name, { mode: 0o755, modified: 0 }),
  })

  const apply: Unpacking['apply'] = async (layer) => {
    own.clear()
    for await (const entry of tarEntries(layer, limits)) {
      entries += 1
      if (entries > limits.entries)
        throw new ArchiveError('too-large', `the image has more than ${limits.entries} entries`)
      await applyEntry(layerName(entry.name, limits), entry)
    }
  }

  const applyEntry = async (name: string, entry: StreamedEntry): Promise<void> => {
    const meaning = meaningOf(name)
    if (meaning.kind === 'opaque') return removeLowerBelow(meaning.directory)
    if (meaning.kind === 'nothing') return
    if (meaning.kind === 'whiteout') return removeLower(meaning.hidden)
    if (name === '') return assertDirectory(entry)
    const place = await confined.locate(name)
    for (let at = name; at !== '' && !own.has(at); at = splitName(at).parent) own.add(at)
    await create(name, place, entry)
  }

  const create = async (name: string, place: Place, entry: StreamedEntry): Promise<void> => {
    if (entry.type === '5') return createDirectory(name, place, entry)
    const target = entry.type === '1' ? layerName(entry.linkName, limits) : undefined
    if (target === name) return
    if (place.kind !== 'nothing') await confined.remove(name)
    if (target !== undefined) return createHardLink(name, place, target)
    switch (entry.type) {
      case '0':
      case '7':
        return createFile(place, entry)
      case '2':
        return createLink(name, place, entry.linkName)
      case '3':
      case '4':
      case '6':
        skipped += 1
        return
      default:
        throw new ArchiveError('invalid', `${quote(name)} is of an unknown type`)
    }
  }

  const createDirectory = async (
    name: string,
    { path, kind }: Place,
    { mode, modified }: StreamedEntry,
  ): Promise<void> => {
    if (kind !== 'directory') {
      if (kind !== 'nothing') await confined.remove(name)
      await mkdir(path, temporaryMode)
    }
    directories.set(name, { mode: mode & directoryBits, modified })
  }

  const createFile = async ({ path }: Place, entry: StreamedEntry): Promise<void> => {
    files += 1
    bytes += entry.size
    if (bytes > limits.size)
      throw new ArchiveError('too-large', `the image has more than ${limits.size} bytes`)
    await withHandle(path, newFile, async (handle) => {
      for await (const chunk of entry.content) await handle.appendFile(chunk)
      await setAttributes(handle, { mode: entry.mode & fileBits, modified: entry.modified })
    })
  }

  const createHardLink = async (name: string, place: Place, target: string): Promise<void> => {
    files += 1
    if (await confined.link(target, place)) return
    // Another name for a link is another link: not every system can give a link two names.
    const other = await confined.find(target)
    if (other?.kind !== 'link')
      throw new ArchiveError('invalid', `${quote(name)} is a link to no file: ${quote(target)}`)
    const text = await readlink(other.path)
    await symlink(text, (await confined.locate(name)).path)
  }

  const removeLower = async (name: string): Promise<void> => {
    if (own.has(name)) await removeLowerBelow(name)
    else await confined.remove(name)
  }

  const removeLowerBelow = async (name: string): Promise<void> => {
    for (const child of await confined.list(name))
      await removeLower(name === '' ? child : `${name}/${child}`)
  }

  return {
    apply,
    finish: async () => {
      const depth = (name: string) => name.split('/').length
      const deepestFirst = [...directories].sort(([one], [two]) => depth(two) - depth(one))
      for (const [name, attributes] of deepestFirst) {
        const place = await confined.find(name)
        if (place?.kind !== 'directory') continue
        const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
        await withHandle(place.path, flags, (handle) => setAttributes(handle, attributes))
      }
      return { files, bytes, skipped }
    },
    close: confined.close,
  }
}

/** A link may lead anywhere: it is written and never followed. */
async function createLink(name: string, { path }: Place, target: string): Promise<void> {
  if (target === '' || target.includes('\0'))
    throw new ArchiveError('invalid', `the link ${quote(name)} has no valid target`)
  await symlink(target, path)
}

async function withHandle(
  path: string,
  flags: number,
  use: (handle: FileHandle) => Promise<void>,
): Promise<void> {
  const handle = await open(path, flags, 0o600)
  try {
    await use(handle)
  } finally {
    await handle.close()
  }
}

async function setAttributes(handle: FileHandle, { mode, modified }: Attributes): Promise<void> {
  const time = Math.min(modified, maxTime)
  await handle.chmod(mode)
  await handle.utimes(time, time)
}

function assertDirectory({ type }: StreamedEntry): void {
  if (type !== '5') throw new ArchiveError('invalid', 'the root of a layer is no directory')
}
