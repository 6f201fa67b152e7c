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

/** As if nothing were there. */
function leadsNowhere(error: unknown): boolean {
  return isMissing(error) || errnoOf(error) === 'ELOOP'
}

/** As many as the kernel follows. */
const mostLinks = 40
/** Bytes; whatever is larger is no configuration file. */
const largestText = 1024 * 1024

class LinkError extends Error {
  override readonly name = 'LinkError'
  readonly code = 'ELOOP'

  constructor(path: string) {
    super(`${path}: its symbolic links go in circles`)
  }
}

/**
 * A node's file system, mounted at some directory. Paths are the node's own, as `/etc/docker`; links
 * lead where they would lead on the node, so that none leads out of it.
 */
export interface Rooted {
  /**
   * Where the path is for us, all links followed but that of its last part. Parts that do not exist
   * are taken as they are. Rejects where links go in circles; for all others, nothing is there then.
   */
  locate(path: string): Promise<string>
  /** The same with the last part followed as well. */
  follow(path: string): Promise<string>
  /** Undefined when there is no such file, or it is no regular or no small one. */
  text(path: string): Promise<string | undefined>
  exists(path: string): Promise<boolean>
  /** Names in a directory, sorted; none when there is no such directory. */
  list(path: string): Promise<readonly string[]>
  /** The node's path of one that `locate` gave. */
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
      if (links > mostLinks) throw new LinkError(path)
      if (target.startsWith('/')) parts.length = 0
      rest.unshift(...target.split('/').filter((piece) => piece !== '' && piece !== '.'))
    }
    return `${base}/${parts.join('/')}`
  }

  const list = async (path: string): Promise<readonly string[]> => {
    try {
      return (await readdir(await follow(path))).toSorted()
    } catch (error) {
      if (leadsNowhere(error)) return []
      throw error
    }
  }

  const orNothing = async <Result>(path: string, look: (located: string) => Promise<Result>) => {
    try {
      return await look(await follow(path))
    } catch (error) {
      if (leadsNowhere(error)) return undefined
      throw error
    }
  }

  return {
    follow,
    locate: async (path) => join(await follow(dirname(path)), basename(path)),
    text: (path) => orNothing(path, readText),
    exists: async (path) => (await orNothing(path, lstatIfAny)) !== undefined,
    list,
    name: (located) => located.slice(base.length) || '/',
  }
}

/** Undefined for what does not exist, is no regular file, or is too large. */
export async function readText(located: string): Promise<string | undefined> {
  try {
    // A FIFO does not block, and a link that appears meanwhile is not followed.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
    const handle = await open(located, flags)
    try {
      const stats = await handle.stat()
      if (!stats.isFile() || stats.size > largestText) return undefined
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
