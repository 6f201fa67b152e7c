import { constants } from 'node:fs'
import { lstat, open, readdir, readlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/** The code of a system call's failure, such as ENOENT. */
export function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

export function isMissing(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(errnoOf(error))
}

/** Errors that count as a missing file. */
function missingCodes(error: unknown): boolean {
  return isMissing(error) || errnoOf(error) === 'ELOOP'
}

/** The kernel's own limit. */
const maxLinks = 40
/** In bytes; a larger file is not a configuration file. */
const maxFileSize = 1024 * 1024

class LinkError extends Error {
  override readonly name = 'LinkError'
  readonly code = 'ELOOP'

  constructor(path: string) {
    super(`${path}: its symbolic links form a loop`)
  }
}

/**
 * A node's file system, mounted at a directory. Paths are those on the node, such as `/etc/docker`; links
 * are resolved as on the node, so none leaves the directory.
 */
export interface Rooted {
  /**
   * The path in this process's file system, with all links resolved except in its last part. Missing
   * parts are kept. Rejects if links form a loop; the other methods treat that as a missing file.
   */
  locate(path: string): Promise<string>
  /** The same with the last part resolved as well. */
  follow(path: string): Promise<string>
  /** Undefined if the file is missing, not regular, or too large. */
  text(path: string): Promise<string | undefined>
  exists(path: string): Promise<boolean>
  /** Sorted names in a directory; empty if it is missing. */
  list(path: string): Promise<readonly string[]>
  /** The path on the node for a result of `locate`. */
  name(located: string): string
}

export function createRooted(root: string): Rooted {
  const base = root === '/' ? '' : root.replace(/\/+$/, '')

  const follow = async (path: string): Promise<string> => {
    const rest = path.split('/').filter((part) => part !== '' && part !== '.')
    const parts: string[] = []
    for (let links = 0; rest.length > 0; ) {
      const part = rest.shift() ?? ''
      if (part === '..') {
        parts.pop()
        continue
      }
      const target = await linkAt(`${base}/${[...parts, part].join('/')}`)
      if (target === undefined) {
        parts.push(part)
        continue
      }
      links += 1
      if (links > maxLinks) throw new LinkError(path)
      if (target.startsWith('/')) parts.length = 0
      rest.unshift(...target.split('/').filter((piece) => piece !== '' && piece !== '.'))
    }
    return `${base}/${parts.join('/')}`
  }

  const list = async (path: string): Promise<readonly string[]> => {
    try {
      return (await readdir(await follow(path))).toSorted()
    } catch (error) {
      if (missingCodes(error)) return []
      throw error
    }
  }

  const unlessMissing = async <Result>(
    path: string,
    step: (located: string) => Promise<Result>,
  ) => {
    try {
      return await step(await follow(path))
    } catch (error) {
      if (missingCodes(error)) return undefined
      throw error
    }
  }

  return {
    follow,
    locate: async (path) => join(await follow(dirname(path)), basename(path)),
    text: (path) => unlessMissing(path, readText),
    exists: async (path) => (await unlessMissing(path, lstatIfAny)) !== undefined,
    list,
    name: (located) => located.slice(base.length) || '/',
  }
}

/** Undefined for what does not exist, is no regular file, or is too large. */
export async function readText(located: string): Promise<string | undefined> {
  try {
    // Does not block on a FIFO, and does not follow a link that appears in the meantime.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
    const handle = await open(located, flags)
    try {
      const stats = await handle.stat()
      if (!stats.isFile() || stats.size > maxFileSize) return undefined
      return await handle.readFile('utf8')
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (isMissing(error) || ['ELOOP', 'ENXIO', 'EISDIR'].includes(errnoOf(error))) return undefined
    throw error
  }
}

export async function lstatIfAny(located: string) {
  try {
    return await lstat(located, { bigint: true })
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

async function linkAt(located: string): Promise<string | undefined> {
  try {
    return await readlink(located)
  } catch (error) {
    if (isMissing(error) || errnoOf(error) === 'EINVAL') return undefined
    throw error
  }
}
