import { realpath, stat } from 'node:fs/promises'
import { dirname, join, resolve, sep } from 'node:path'
import { isMissing } from './files.ts'

/**
 * Whether two directories are the same, or one is inside the other, after symbolic links are
 * resolved. They need not exist yet.
 */
export async function overlap(one: string, other: string): Promise<boolean> {
  const [a, b] = [await realPath(resolve(one)), await realPath(resolve(other))]
  return isWithin(a, b) || isWithin(b, a) || (await isSame(a, b))
}

/** Resolves a path, which need not exist yet. */
async function realPath(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if (!isMissing(error) || dirname(path) === path) throw error
    return join(await realPath(dirname(path)), path.slice(dirname(path).length))
  }
}

function isWithin(path: string, directory: string): boolean {
  return `${path}${sep}`.startsWith(directory === sep ? sep : `${directory}${sep}`)
}

/** One directory may be mounted at two paths. */
async function isSame(a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all([a, b].map((path) => stat(path).catch(() => undefined)))
  return first !== undefined && first.dev === second?.dev && first.ino === second.ino
}
