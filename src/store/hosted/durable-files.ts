import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { LRUCache } from 'lru-cache'
import { errnoOf, makeDirectory } from '../files.ts'
import type { Temporary } from '../temporary.ts'
import { createTurns } from '../turns.ts'
import { createDirectorySync } from './directory-sync.ts'

/** Node has four threads for files, and an fsync occupies one: reads need one as well. */
const maxSyncs = 3
const maxKnown = 20_000
const maxAttempts = 5

type Install = {
  /** A file or a directory, itself on disk already. */
  readonly from: string
  readonly to: string
  /** The last directory of the path that is never removed. Those below it may be. */
  readonly stable: string
  /** Removes `to` if its directories cannot be synced. Not for what replaces something. */
  readonly isNew?: boolean
}

/** Changes below a root that survive a power loss when they resolve. */
export interface DurableFiles {
  /** Creates a directory and its parents. */
  directory(path: string): Promise<void>
  /** Writes an unfinished file, and returns its path. */
  stage(bytes: Buffer | string, mode?: number): Promise<string>
  /** Writes an unfinished directory with files that all have the same text. */
  stageTree(paths: readonly string[], text: string): Promise<string>
  /** Renames into place, and creates directories as needed. */
  install(install: Install): Promise<void>
  syncFile(file: FileHandle): Promise<void>
  /** As fdatasync(2). Undefined at once if too many others are syncing. */
  tryWriteBack(file: FileHandle): Promise<void> | undefined
  syncDirectories(paths: readonly string[]): Promise<void>
}

type DurableFilesOptions = { readonly root: string; readonly temporary: Temporary }

/**
 * A new name is durable when its directory, and the entries of all directories above it, are on
 * disk. Directories that are known to be are remembered, so that most changes sync two.
 */
export function createDurableFiles({ root, temporary }: DurableFilesOptions): DurableFiles {
  const inTurn = createTurns(maxSyncs)
  const sync = createDirectorySync(inTurn)
  const known = new LRUCache<string, true>({ max: maxKnown })
  let writeBacks = 0

  const syncDirectories = async (paths: readonly string[]) => {
    await Promise.all(paths.map(sync))
  }

  const directory = async (path: string): Promise<void> => {
    if (known.has(path)) return
    if (path === root) await createRoot(root, sync)
    else {
      await directory(dirname(path))
      await makeOne(path)
      // Another process, or this one before a failed sync, may have created it.
      await sync(dirname(path))
    }
    known.set(path, true)
  }

  /** Somebody else removed a directory that Berth never removes. */
  const forget = (path: string): void => {
    known.delete(path)
    if (path !== root) forget(dirname(path))
  }

  const renameInto = async (install: Install, below: readonly string[], attempts = maxAttempts) => {
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

  const write = async (path: string, bytes: Buffer | string, mode: number): Promise<void> => {
    const file = await open(path, 'wx', mode)
    try {
      await file.writeFile(bytes)
      await inTurn(() => file.sync())
    } finally {
      await file.close()
    }
  }

  return {
    directory,
    syncDirectories,
    syncFile: (file) => inTurn(() => file.sync()),

    tryWriteBack: (file) => {
      if (writeBacks > 0) return undefined
      writeBacks += 1
      return inTurn(() => file.datasync()).finally(() => {
        writeBacks -= 1
      })
    },

    stage: async (bytes, mode = 0o666) => {
      const path = await temporary.path()
      await orRemove(path, () => write(path, bytes, mode))
      return path
    },

    stageTree: async (paths, text) => {
      const tree = await temporary.path()
      await orRemove(tree, async () => {
        const places = paths.map((path) => join(tree, path))
        for (const place of places) await makeDirectory(dirname(place))
        await Promise.all(places.map((place) => write(place, text, 0o666)))
        const below = places.flatMap((place) => directoriesBetween(tree, place))
        await syncDirectories([tree, ...new Set(below)])
      })
      return tree
    },

    install: async (install) => {
      const below = directoriesBetween(install.stable, install.to)
      await renameInto(install, below)
      try {
        await syncDirectories([install.stable, ...below])
      } catch (error) {
        if (install.isNew) await rm(install.to, { recursive: true, force: true })
        throw error
      }
    },
  }
}

async function orRemove(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    await rm(path, { recursive: true, force: true })
    throw error
  }
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

async function createRoot(root: string, sync: (path: string) => Promise<void>): Promise<void> {
  if (dirname(root) === root || (await isThere(root))) return
  await createRoot(dirname(root), sync)
  await makeOne(root)
  await sync(dirname(root))
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
