import { randomUUID } from 'node:crypto'
import { lstat, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import {
  codeOf,
  moveWithoutReplacing,
  readRecord,
  syncDirectory,
  writeRecord,
} from './durable-files.ts'
import { isAbandoned, type Owner } from './owners.ts'
import { type Entry, findEntry } from './spool-entries.ts'
import { failedDirectory, stateDirectory } from './spool-names.ts'

const schema = z.object({ path: z.string(), owner: z.unknown().optional() })

/**
 * Removes files that were pushed.
 *
 * The danger: a user may replace the file at any time, and a newer one must not be removed. So the file is
 * first renamed, and removed only if it is the one that was pushed; otherwise it gets its name back.
 */
export function createRemoval(root: string, owner: Owner) {
  const directory = join(root, stateDirectory, 'removing')
  const temporary = join(root, stateDirectory, 'tmp')

  /** False: another file has its name now, which stays. */
  const remove = (entry: Entry): Promise<boolean> =>
    takeAway(entry, (aside) => rm(aside, { recursive: true }))

  /**
   * Renames a file to a name that no user writes to, for `end` to do away with it. If that fails, it gets its
   * name back. False: another file has its name now, which stays.
   */
  const takeAway = async (
    entry: Entry,
    end: (aside: string) => Promise<void>,
  ): Promise<boolean> => {
    const aside = join(directory, randomUUID())
    await writeRecord(`${aside}.json`, { path: entry.path, owner }, temporary)
    try {
      await rename(join(root, entry.path), aside)
    } catch (error) {
      await rm(`${aside}.json`, { force: true })
      if (codeOf(error) === 'ENOENT') return true
      throw error
    }
    const moved = await findEntry(root, aside.slice(root.length + 1))
    const isSame = moved?.identity === entry.identity
    try {
      if (isSame) await end(aside)
      else await giveBack(aside, entry.path)
    } catch (error) {
      await giveBack(aside, entry.path)
      await rm(`${aside}.json`, { force: true })
      throw error
    }
    await syncDirectory(dirname(join(root, entry.path)))
    await rm(`${aside}.json`, { force: true })
    return isSame
  }

  /** Under its name, or in `failed/` if there is a file of that name again. */
  const giveBack = async (aside: string, path: string): Promise<void> => {
    const isDirectory = (await lstat(aside)).isDirectory()
    const target = join(root, path)
    await mkdir(dirname(target), { recursive: true })
    if (await moveWithoutReplacing(aside, target, isDirectory)) return
    await keepAsFailed(aside, `${path}.replaced-${randomUUID()}`)
  }

  const keepAsFailed = async (aside: string, path: string): Promise<void> => {
    const kept = join(root, failedDirectory, path)
    await mkdir(dirname(kept), { recursive: true })
    await moveWithoutReplacing(aside, kept, (await lstat(aside)).isDirectory())
  }

  /**
   * Gives back what a removal has left that was interrupted. It is pushed again, which sends nothing.
   * @returns Errors, each of one file: the others are given back.
   */
  const recover = async (): Promise<readonly unknown[]> => {
    const names = await readdir(directory).catch(() => [])
    const errors: unknown[] = []
    for (const name of names.filter((each) => each.endsWith('.json')))
      await recoverOne(name).catch((error: unknown) => void errors.push(error))
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

  return { remove, takeAway, recover, directory }
}
