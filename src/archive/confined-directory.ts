import { constants } from 'node:fs'
import { type FileHandle, link, lstat, mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ArchiveError } from './archive-error.ts'

/** Where an entry is: valid until the next `locate`. */
export type Place = {
  /** For calls that do not follow links in the last part of a path. */
  readonly path: string
  /** What is there now. */
  readonly kind: 'nothing' | 'directory' | 'file' | 'link' | 'other'
}

/** A directory that nothing is written outside of, whatever links are in it. */
export interface ConfinedDirectory {
  /** Creates missing parents. A parent that is a link or a file is handled by `onObstacle`, and replaced. */
  locate(name: string): Promise<Place>
  /** Undefined if a parent is missing, or is no directory. */
  find(name: string): Promise<Place | undefined>
  /** Of a directory below it. */
  list(name: string): Promise<readonly string[]>
  /** Another name for a file. False if `target` is no file. */
  link(target: string, place: Place): Promise<boolean>
  /** With all that is below it. */
  remove(name: string): Promise<void>
  close(): Promise<void>
}

type ConfinedOptions = {
  /** Called before a link or a file is replaced by a directory; throws if it must not be. */
  readonly onObstacle: (name: string) => void
  readonly onParent: (name: string) => void
}

const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

/** Directories that are being unpacked can be entered and written to by their owner, whatever their entry says. */
export const temporaryMode = 0o700

/**
 * The danger: `a` is a link to `/etc`, and the next entry is `a/passwd`. So each part of a path is opened
 * by itself, relative to the one before, and as a directory that is no link. Linux has the path
 * `/proc/self/fd/N/NAME` for that (`openat` for programs without it); elsewhere, nothing but the archive
 * itself may change the directory meanwhile.
 */
export async function openConfinedDirectory(
  root: string,
  { onObstacle, onParent }: ConfinedOptions,
): Promise<ConfinedDirectory> {
  const top = await open(root, constants.O_RDONLY | constants.O_DIRECTORY)
  /** The directory that was used last, because the next entry is likely in it as well. */
  let last = { name: '', handle: top }

  const below = (parent: string, handle: FileHandle, base: string) =>
    process.platform === 'linux' ? `/proc/self/fd/${handle.fd}/${base}` : join(root, parent, base)

  const release = async (handle: FileHandle) => {
    if (handle !== top) await handle.close()
  }

  const forget = async () => {
    const { handle } = last
    last = { name: '', handle: top }
    await release(handle)
  }

  /** A handle of the caller's own; undefined if there is no such directory. */
  const walk = async (name: string, create: boolean): Promise<FileHandle | undefined> => {
    let handle = top
    let parent = ''
    try {
      for (const part of name === '' ? [] : name.split('/')) {
        const path = below(parent, handle, part)
        parent = parent === '' ? part : `${parent}/${part}`
        const isThere = (await kindOf(path)) === 'directory'
        if (!isThere && !create) {
          await release(handle)
          return undefined
        }
        if (!isThere) await replaceByDirectory(path, parent)
        const next = await open(path, directoryFlags)
        await release(handle)
        handle = next
      }
      return handle
    } catch (error) {
      await release(handle)
      throw error
    }
  }

  const enter = async (name: string, create: boolean): Promise<FileHandle | undefined> => {
    if (name === last.name) return last.handle
    await forget()
    const handle = await walk(name, create)
    if (handle !== undefined) last = { name, handle }
    return handle
  }

  const replaceByDirectory = async (path: string, name: string) => {
    if ((await kindOf(path)) !== 'nothing') {
      onObstacle(name)
      await rm(path)
    }
    onParent(name)
    await mkdir(path, temporaryMode)
  }

  const placeOf = async (name: string, create: boolean): Promise<Place | undefined> => {
    const { parent, base } = split(name)
    const handle = await enter(parent, create)
    if (handle === undefined) return undefined
    const path = below(parent, handle, base)
    return { path, kind: await kindOf(path) }
  }

  return {
    locate: async (name) => {
      const place = await placeOf(name, true)
      if (place === undefined) throw new ArchiveError('changed', `the parent of ${name} vanished`)
      return place
    },
    find: (name) => placeOf(name, false),
    list: async (name) => {
      const handle = await enter(name, false)
      return handle === undefined ? [] : readdir(below(name, handle, '.'))
    },
    link: async (target, place) => {
      const { parent, base } = split(target)
      const handle = await walk(parent, false)
      if (handle === undefined) return false
      try {
        const path = below(parent, handle, base)
        if ((await kindOf(path)) !== 'file') return false
        await link(path, place.path)
        return true
      } finally {
        await release(handle)
      }
    },
    remove: async (name) => {
      const { parent, base } = split(name)
      const handle = await enter(parent, false)
      if (handle !== undefined)
        await rm(below(parent, handle, base), { recursive: true, force: true })
    },
    close: async () => {
      await forget()
      await top.close()
    },
  }
}

function split(name: string): { readonly parent: string; readonly base: string } {
  const slash = name.lastIndexOf('/')
  return { parent: name.slice(0, Math.max(slash, 0)), base: name.slice(slash + 1) }
}

async function kindOf(path: string): Promise<Place['kind']> {
  const stat = await lstat(path).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  })
  if (stat === undefined) return 'nothing'
  if (stat.isDirectory()) return 'directory'
  if (stat.isFile()) return 'file'
  return stat.isSymbolicLink() ? 'link' : 'other'
}
