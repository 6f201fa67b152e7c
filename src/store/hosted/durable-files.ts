import { randomUUID } from 'node:crypto'
import { mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { LRUCache } from 'lru-cache'
import { errnoOf, makeDirectory } from '../files.ts'
import type { Temporary } from '../temporary.ts'
import type { Syncing } from './syncing.ts'

const maxKnown = 20_000
const maxAttempts = 5

type Place = {
  readonly to: string
  /** The last directory of the path that is never removed. Those below it may be. */
  readonly stable: string
  /** Removes `to` again if its directories cannot be synced. Not for what replaces something. */
  readonly isNew?: boolean
}

/** Changes below a root that survive a power loss when they resolve. */
export interface DurableFiles {
  /** Creates a directory and its parents. */
  directory(path: string): Promise<void>
  /** Renames a file or directory, which is on disk already, into place. */
  install(place: Place & { readonly from: string }): Promise<void>
  /** Creates or replaces a file in one step. */
  writeFile(place: Place & { readonly bytes: Buffer; readonly mode?: number }): Promise<void>
  /** Creates a directory, with files that all have the same text, in one step. */
  writeTree(
    place: Place & { readonly paths: readonly string[]; readonly text: string },
  ): Promise<void>
}

type DurableFilesOptions = {
  readonly root: string
  readonly temporary: Temporary
  readonly syncing: Syncing
}

/**
 * A new name is durable when its directory, and the entries of all directories above it, are on
 * disk. Directories that are known to be are remembered, so that most changes sync two.
 */
export function createDurableFiles(options: DurableFilesOptions): DurableFiles {
  const { root, temporary, syncing } = options
  const known = new LRUCache<string, true>({ max: maxKnown })

  const directory = async (path: string, attempts = maxAttempts): Promise<void> => {
    if (known.has(path)) return
    if (path === root) await createRoot(root, syncing)
    else {
      await directory(dirname(path))
      try {
        await makeOne(path)
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT' || attempts === 1) throw error
        forget(dirname(path))
        return await directory(path, attempts - 1)
      }
      // Another process, or this one before a failed sync, may have created it.
      await syncing.directories([dirname(path)])
    }
    known.set(path, true)
  }

  /** Somebody else removed a directory that Berth never removes. */
  const forget = (path: string): void => {
    known.delete(path)
    if (path !== root) forget(dirname(path))
  }

  const renameInto = async (
    install: Place & { readonly from: string },
    below: readonly string[],
    attempts = maxAttempts,
  ): Promise<void> => {
    const { from, to, stable } = install
    await directory(stable)
    try {
      for (const path of below) await makeOne(path)
      await rename(from, to)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || attempts === 1) throw error
      forget(stable)
      await renameInto(install, below, attempts - 1)
    }
  }

  const install: DurableFiles['install'] = async (place) => {
    const below = directoriesBetween(place.stable, place.to)
    await renameInto(place, below)
    try {
      await syncing.directories([place.stable, ...below])
    } catch (error) {
      if (place.isNew) await remove(place.to)
      throw error
    }
  }

  const stageFile = async (bytes: Buffer, mode: number): Promise<string> => {
    const path = join(temporary.directory, randomUUID())
    try {
      await orRemove(path, () => syncing.writeFile({ path, bytes, mode }))
      return path
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
    }
    const first = await temporary.path()
    await orRemove(first, () => syncing.writeFile({ path: first, bytes, mode }))
    return first
  }

  const stageTree = async (tree: string, paths: readonly string[], text: string): Promise<void> => {
    const places = paths.map((path) => join(tree, path))
    for (const place of places) await makeDirectory(dirname(place))
    const bytes = Buffer.from(text)
    await Promise.all(places.map((path) => syncing.writeFile({ path, bytes })))
    const below = places.flatMap((place) => directoriesBetween(tree, place))
    await syncing.directories(new Set([tree, ...below]))
  }

  return {
    directory,
    install,

    writeFile: async ({ bytes, mode = 0o666, ...place }) => {
      const from = await stageFile(bytes, mode)
      await orRemove(from, () => install({ ...place, from }))
    },

    writeTree: async ({ paths, text, ...place }) => {
      const from = await temporary.path()
      await orRemove(from, async () => {
        await stageTree(from, paths, text)
        await install({ ...place, from })
      })
    },
  }
}

async function orRemove(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    await remove(path)
    throw error
  }
}

/** After a failure, which is the error that counts. */
async function remove(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch(() => {})
}

/** Directories that contain a path, below another one that does; the outermost first. */
function directoriesBetween(stable: string, path: string): readonly string[] {
  const names = relative(stable, dirname(path)).split(sep).filter(Boolean)
  return names.map((_, at) => join(stable, ...names.slice(0, at + 1)))
}

async function makeOne(path: string): Promise<void> {
  await mkdir(path).catch((error: unknown) => {
    if (errnoOf(error) !== 'EEXIST') throw error
  })
}

async function createRoot(root: string, syncing: Syncing): Promise<void> {
  if (dirname(root) === root || (await isThere(root))) return
  await createRoot(dirname(root), syncing)
  await makeOne(root)
  await syncing.directories([dirname(root)])
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
