import { createHash, randomUUID } from 'node:crypto'
import { rename, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, moveWithoutReplacing, readRecord } from './durable-files.ts'
import { heartbeat, isAbandoned, type Owner } from './owners.ts'

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
    const isOurs = (await create(file)) || (await takeOver(file))
    if (!isOurs) return undefined
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
    await writeFile(temporary, JSON.stringify(owner))
    const isCreated = await moveWithoutReplacing(temporary, file, false)
    if (!isCreated) await rm(temporary, { force: true })
    return isCreated
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

  return { claim }
}
