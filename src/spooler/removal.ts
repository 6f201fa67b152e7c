import { randomUUID } from 'node:crypto'
import { lstat, readdir, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { z } from 'zod'
import { inDirectory } from '../input/input.ts'
import {
  codeOf,
  inNewDirectory,
  isFull,
  moveWithoutReplacing,
  parentOf,
  readRecord,
  removeTree,
  writeRecord,
} from './durable-files.ts'
import { isAbandoned, maxSilence, type Owner } from './owners.ts'
import { type Entry, findEntry } from './spool-entries.ts'
import { failedDirectory, keptPath, stateDirectory } from './spool-names.ts'

const schema = z.object({ path: z.string(), owner: z.unknown().optional() })
const removing = `${stateDirectory}/removing`
const temporary = `${stateDirectory}/tmp`
/** Bytes of a file name. */
const maxName = 255

/** A name in `removing`, and what says where the file was. */
type Aside = { readonly name: string; readonly hasRecord: boolean }

/**
 * Removes files that were pushed.
 *
 * The danger: a user may replace the file at any time, and a newer one must not be removed. So the file is
 * first renamed, and removed only if it is the one that was pushed; otherwise it gets its name back.
 */
export function createRemoval(root: string, owner: Owner) {
  const directory = join(root, removing)
  /** Names that this process works with. */
  const own = new Set<string>()

  /** False: another file has its name now, which stays. */
  const remove = (entry: Entry): Promise<boolean> =>
    takeAway(entry, { canBeNameless: true }, (aside) => removeAt(aside))

  /**
   * Renames a file to a name that no user writes to, for `end` to do away with it. If that fails, it gets its
   * name back. False: another file has its name now, which stays.
   */
  const move = (entry: Entry, end: (aside: string) => Promise<void>): Promise<boolean> =>
    takeAway(entry, { canBeNameless: false }, end)

  const takeAway = async (
    entry: Entry,
    { canBeNameless }: { readonly canBeNameless: boolean },
    end: (aside: string) => Promise<void>,
  ): Promise<boolean> => {
    const aside = await announce(entry.path, canBeNameless)
    own.add(aside.name)
    try {
      const path = join(directory, aside.name)
      if (!(await setAside(entry.path, path))) return true
      const moved = await findEntry(root, `${removing}/${aside.name}`)
      const isSame = moved?.identity === entry.identity
      try {
        if (isSame) await end(path)
        else await giveBack(path, entry.path)
      } catch (error) {
        await giveBack(path, entry.path)
        throw error
      }
      await inDirectory({ root, path: parentOf(entry.path) }, (parent) => parent.sync())
      return isSame
    } finally {
      if (aside.hasRecord) await rm(join(directory, `${aside.name}.json`), { force: true })
      own.delete(aside.name)
    }
  }

  /**
   * Writes down the path of a file that is about to be renamed. Without room for that, the name has to hold it: removing
   * files is what makes room.
   */
  const announce = async (path: string, canBeNameless: boolean): Promise<Aside> => {
    const name = randomUUID()
    try {
      await writeRecord({ root, path: `${removing}/${name}.json`, temporary }, { path, owner })
      return { name, hasRecord: true }
    } catch (error) {
      const long = `${name}.${Buffer.from(path).toString('base64url')}`
      if (!canBeNameless || !isFull(error) || long.length > maxName) throw error
      return { name: long, hasRecord: false }
    }
  }

  /** False: it is not there any more. */
  const setAside = async (path: string, aside: string): Promise<boolean> => {
    const isDone = await inDirectory({ root, path: parentOf(path) }, async (parent) => {
      try {
        await rename(parent.at(basename(path)), aside)
        return true
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return false
        throw error
      }
    })
    return isDone ?? false
  }

  const removeAt = async (aside: string): Promise<void> => {
    await inDirectory({ root, path: removing }, (parent) => removeTree(parent, basename(aside)))
  }

  /** Under its name, or in `failed/` if there is a file of that name again. */
  const giveBack = async (aside: string, path: string): Promise<void> => {
    const isDirectory = (await lstat(aside)).isDirectory()
    const isBack = await inNewDirectory({ root, path }, (parent, base) =>
      moveWithoutReplacing(aside, parent.at(base), isDirectory),
    )
    if (!isBack) await keepAsFailed(aside, `${keptPath(path)}.replaced-${randomUUID()}`)
  }

  const keepAsFailed = async (aside: string, path: string): Promise<void> => {
    const isDirectory = (await lstat(aside)).isDirectory()
    await inNewDirectory({ root, path: `${failedDirectory}/${path}` }, (parent, base) =>
      moveWithoutReplacing(aside, parent.at(base), isDirectory),
    )
  }

  /**
   * Gives back what a removal has left that was interrupted. It is pushed again, which sends nothing.
   * @returns Errors, each of one file: the others are given back.
   */
  const recover = async (): Promise<readonly unknown[]> => {
    const names = await readdir(directory).catch(() => [])
    const errors: unknown[] = []
    const recorded = new Set(names.filter((name) => name.endsWith('.json')))
    for (const name of names) {
      const work = recorded.has(name) ? recoverOne(name) : recoverNameless(name, recorded)
      await work.catch((error: unknown) => void errors.push(error))
    }
    return errors
  }

  const recoverOne = async (name: string): Promise<void> => {
    const record = join(directory, name)
    const parsed = schema.safeParse(await readRecord(record))
    if (!(await isAbandoned(record, parsed.data?.owner, owner))) return
    const aside = record.slice(0, -'.json'.length)
    const isThere = (await lstat(aside).catch(() => undefined)) !== undefined
    if (isThere && parsed.success) await giveBack(aside, parsed.data.path)
    else if (isThere) await keepAsFailed(aside, name.slice(0, -'.json'.length))
    await rm(record, { force: true })
  }

  const recoverNameless = async (name: string, recorded: ReadonlySet<string>): Promise<void> => {
    if (own.has(name) || recorded.has(`${name}.json`)) return
    const aside = join(directory, name)
    const stat = await lstat(aside).catch(() => undefined)
    // A rename changes the time of the last change of the inode.
    if (stat === undefined || Date.now() - stat.ctimeMs < maxSilence) return
    const [id = '', encoded = ''] = name.split('.')
    const path = Buffer.from(encoded, 'base64url').toString()
    if (path === '') await keepAsFailed(aside, id)
    else await giveBack(aside, path)
  }

  return { remove, move, recover }
}

/** Whether a file is in the spool, or may come back, because it is being removed or moved to `failed/`. */
export async function isInSpool(root: string, path: string): Promise<boolean> {
  const isThere = async () => (await lstat(join(root, path)).catch(() => undefined)) !== undefined
  if (await isThere()) return true
  const names = await readdir(join(root, removing)).catch(() => [])
  const paths = await Promise.all(names.map((name) => pathOf(join(root, removing), name)))
  // It may have come back meanwhile.
  return paths.includes(path) || (await isThere())
}

async function pathOf(directory: string, name: string): Promise<string | undefined> {
  if (name.endsWith('.json'))
    return schema.safeParse(await readRecord(join(directory, name))).data?.path
  const [, encoded] = name.split('.')
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64url').toString()
}
