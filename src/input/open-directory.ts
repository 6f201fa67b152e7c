import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'

/** A directory that is open: it stays the same one, whatever happens to its name. */
export interface OpenDirectory {
  /**
   * The path of an entry in it; without a name, of the directory. Until `close`, and for calls that do not follow links
   * in the last part of a path.
   */
  at(name?: string): string
  /**
   * Opens a directory below it (`a/b`), part by part; `create`: what is missing is created. Undefined if a part is missing, is a
   * link, or is anything else that is no directory.
   */
  enter(path: string, options?: EnterOptions): Promise<OpenDirectory | undefined>
  /** After a power loss, changes of names without this may be undone. */
  sync(): Promise<void>
  close(): Promise<void>
}

type EnterOptions = { readonly create?: boolean }

const follow = constants.O_RDONLY | constants.O_DIRECTORY
const noFollow = follow | constants.O_NOFOLLOW

/**
 * Opens a directory that other users write to; the path itself may be a link.
 *
 * The danger: a user replaces `team` by a link to `/etc`, between the moment at which `team/app` was found to be a file
 * and the moment at which it is read, moved or removed. So each part of a path is opened by itself, relative to the one
 * before, and as a directory that is no link. Linux has the path `/proc/self/fd/N/NAME` for that (`openat` for programs
 * without it). Elsewhere each part is only checked, so a user who is quick enough is not stopped.
 */
async function openDirectory(path: string): Promise<OpenDirectory> {
  return openedDirectory(await open(path, follow), path)
}

function openedDirectory(handle: FileHandle, path: string): OpenDirectory {
  const self = process.platform === 'linux' ? `/proc/self/fd/${handle.fd}` : path
  const at = (name = '.') => `${self}/${name}`

  const step = async (name: string, create: boolean): Promise<OpenDirectory | undefined> => {
    if (['', '.', '..'].includes(name)) return undefined
    const look = () => lstat(at(name)).catch(ignore('ENOENT'))
    let stat = await look()
    if (stat === undefined && create) {
      await mkdir(at(name)).catch(ignore('EEXIST'))
      stat = await look()
    }
    if (stat?.isDirectory() !== true) return undefined
    const next = await open(at(name), noFollow).catch(ignore('ENOENT', 'ENOTDIR', 'ELOOP'))
    return next && openedDirectory(next, join(path, name))
  }

  const enter: OpenDirectory['enter'] = async (below, options = {}) => {
    const [first = '', ...rest] = below.split('/')
    const next = await step(first, options.create ?? false)
    if (next === undefined || rest.length === 0) return next
    try {
      return await next.enter(rest.join('/'), options)
    } finally {
      await next.close()
    }
  }

  return { at, enter, sync: () => handle.sync(), close: () => handle.close() }
}

function ignore(...codes: readonly string[]) {
  return (error: unknown): undefined => {
    if (error instanceof Error && 'code' in error && codes.includes(String(error.code)))
      return undefined
    throw error
  }
}

type Place = EnterOptions & {
  readonly root: string
  /** Of the directory, below the root; empty: the root itself. */
  readonly path: string
}

/** Opens a directory for one use of it. Undefined as with `enter`. */
export async function inDirectory<Result>(
  { root, path, ...options }: Place,
  use: (directory: OpenDirectory) => Promise<Result>,
): Promise<Result | undefined> {
  const top = await openDirectory(root)
  try {
    if (path === '') return await use(top)
    const directory = await top.enter(path, options)
    if (directory === undefined) return undefined
    try {
      return await use(directory)
    } finally {
      await directory.close()
    }
  } finally {
    await top.close()
  }
}
