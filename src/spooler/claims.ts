import { createHash, randomUUID } from 'node:crypto'
import { open, rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, readRecord } from './durable-files.ts'

/** Who works on a file. */
export type Owner = {
  /** Unique for each start of a spooler. */
  readonly instance: string
  readonly host: string
  readonly pid: number
}

export interface Claim {
  release(): Promise<void>
}

/** Milliseconds between two signs of life, and without one until a claim is taken over. */
const heartbeat = 10_000
const maxSilence = 120_000
/** The same for a claim that is probably of our container before it was started again. */
const maxSilenceOfOwn = 25_000

/**
 * Claims on files of a spool that several spoolers may share, on one host or on several: a file for each
 * claim, which is created exclusively. Two that push one file would do no harm, but the second must not
 * remove a newer file.
 */
export function createClaims(directory: string, owner: Owner) {
  const claim = async (path: string): Promise<Claim | undefined> => {
    const file = join(directory, `${createHash('sha256').update(path).digest('hex')}.json`)
    const isOurs = (await create(file, owner)) || (await takeOver(file))
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

  /** Two may take over at once: only one of them renames the old claim. */
  const takeOver = async (file: string): Promise<boolean> => {
    const before = await readRecord(file)
    if (!(await isAbandoned(file, before))) return false
    const aside = `${file}.${randomUUID()}`
    try {
      await rename(file, aside)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return create(file, owner)
      throw error
    }
    const moved = JSON.stringify(await readRecord(aside))
    if (moved !== JSON.stringify(before)) {
      await rename(aside, file)
      return false
    }
    await rm(aside, { force: true })
    return create(file, owner)
  }

  const isAbandoned = async (file: string, record: unknown): Promise<boolean> => {
    const { mtimeMs } = await stat(file).catch(() => ({ mtimeMs: Date.now() }))
    const silence = Date.now() - mtimeMs
    if (!isOwner(record) || record.host !== owner.host) return silence > maxSilence
    if (record.instance === owner.instance) return false
    // Containers of one pod have the same host name, and each has a process 1.
    if (record.pid === owner.pid) return silence > maxSilenceOfOwn
    return !isAlive(record.pid)
  }

  return { claim }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

async function create(file: string, owner: Owner): Promise<boolean> {
  try {
    const handle = await open(file, 'wx')
    await handle.writeFile(JSON.stringify(owner)).finally(() => handle.close())
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

function isOwner(value: unknown): value is Owner {
  return (
    typeof value === 'object' &&
    value !== null &&
    ['instance', 'host', 'pid'].every((key) => Object.hasOwn(value, key))
  )
}
