import { createHash, randomUUID } from 'node:crypto'
import { readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, isFull, moveWithoutReplacing, readRecord, writeNew } from './durable-files.ts'
import { heartbeat, isAbandoned, maxSilence, type Owner } from './owners.ts'

export interface Claim {
  release(): Promise<void>
}

/**
 * Claims on files of a spool that several spoolers may share, on one host or on several: a file for each
 * claim, which is created with its content, or not at all. Two that push one file would do no harm, but the
 * second must not remove a newer file.
 */
export function createClaims(directory: string, owner: Owner) {
  const claim = async (path: string): Promise<Claim | undefined> => {
    const file = join(directory, `${createHash('sha256').update(path).digest('hex')}.json`)
    try {
      const isOurs = (await create(file)) || (await takeOver(file))
      if (!isOurs) return undefined
    } catch (error) {
      if (isFull(error)) return withoutClaim
      throw error
    }
    const timer = setInterval(() => {
      const now = new Date()
      utimes(file, now, now).catch(() => {})
    }, heartbeat)
    timer.unref()
    return {
      release: async () => {
        clearInterval(timer)
        await rm(file, { force: true })
      },
    }
  }

  const create = async (file: string): Promise<boolean> => {
    const temporary = `${file}.${randomUUID()}`
    await writeNew(temporary, JSON.stringify(owner))
    try {
      return await moveWithoutReplacing(temporary, file, false)
    } finally {
      await rm(temporary, { force: true })
    }
  }

  /** Two may take over at once: only one of them renames the old claim. */
  const takeOver = async (file: string): Promise<boolean> => {
    const before = await readRecord(file)
    if (!(await isAbandoned(file, before, owner))) return false
    const aside = `${file}.${randomUUID()}`
    try {
      await rename(file, aside)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return create(file)
      throw error
    }
    const moved = JSON.stringify(await readRecord(aside))
    if (moved !== JSON.stringify(before)) {
      await moveWithoutReplacing(aside, file, false)
      return false
    }
    await rm(aside, { force: true })
    return create(file)
  }

  /** Removes what spoolers have left that were killed. */
  const tidy = async (): Promise<void> => {
    for (const name of await readdir(directory)) {
      const file = join(directory, name)
      if (name.endsWith('.json')) {
        if (await takeOver(file)) await rm(file, { force: true })
      } else if (await isOld(file)) await rm(file, { force: true })
    }
  }

  return { claim, tidy }
}

/**
 * Only pushing and removing files makes room on a disk that is full, so there it goes on without claims: the removal of a
 * newer file is prevented by the check of its identity as well.
 */
const withoutClaim: Claim = { release: async () => {} }

async function isOld(file: string): Promise<boolean> {
  const found = await stat(file).catch(() => undefined)
  return found !== undefined && Date.now() - found.mtimeMs > maxSilence
}
