import { open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from '../files.ts'
import { repositoriesDirectory } from '../paths.ts'

/** Backup and other programs skip a directory with this file (bford.info/cachedir). */
const name = 'CACHEDIR.TAG'
const text = `Signature: 8a477f597d28d172789f06886806bc55
# This directory is a cache of Berth, a container registry. All in it may be deleted at any time.
`

/**
 * Entries that a file system or volume driver creates in an empty directory, or that a killed start
 * left.
 */
const ignoredEntries = /^(?:lost\+found|\.snapshot|lock(?:-.*)?)$/
/** The entries of a cache. */
const known = ['docker', 'links', 'lock', 'recency', 'tmp']
/**
 * Links of one upstream, in a cache of an earlier version: hosted repositories have other names.
 */
const scope = /^[a-z0-9.-]+_[0-9a-f]{12}$/

/**
 * Berth deletes the contents of a cache to make room, so it accepts only a directory that is empty,
 * has the mark of Berth, or is an unmarked cache of an earlier version.
 * @throws Error for any other directory.
 */
export async function assertCache(root: string): Promise<void> {
  const entries = (await listing(root)).filter((entry) => !ignoredEntries.test(entry))
  if (entries.length === 0 || (await isMarked(root)) || (await isEarlierCache(root, entries)))
    return
  const some = entries.slice(0, 3).join(', ')
  throw new Error(
    `${root} is not empty and not a cache of Berth (it has ${some}); nothing in it was changed. Choose an empty directory`,
  )
}

/** Marks a directory as a cache. The mark survives a power failure. */
export async function markCache(root: string): Promise<void> {
  if (await isMarked(root)) return
  const file = await open(markPath(root), 'w', 0o644)
  try {
    await file.write(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

export function markPath(root: string): string {
  return join(root, name)
}

async function isMarked(root: string): Promise<boolean> {
  return readFile(markPath(root), 'utf8').then(
    (found) => found === text,
    () => false,
  )
}

/** A Distribution volume has neither of those files, and its repositories have other names. */
async function isEarlierCache(root: string, entries: readonly string[]): Promise<boolean> {
  const isLikely = entries.includes('tmp') || entries.includes('recency')
  if (!isLikely || entries.some((entry) => !known.includes(entry) && entry !== name)) return false
  return (await listing(repositoriesDirectory(root))).every((entry) => scope.test(entry))
}

async function listing(directory: string): Promise<readonly string[]> {
  return readdir(directory).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  })
}
