import type { Stats } from 'node:fs'
import { lstat, mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { moveWithoutReplacing, readRecord, writeRecord } from './durable-files.ts'
import { type Entry, filesBelow } from './spool-entries.ts'
import { doneDirectory, failedDirectory, stateDirectory } from './spool-names.ts'

const schema = z.object({
  /** Path below the spool. */
  file: z.string(),
  state: z.enum(['pushed', 'deleted', 'failed']),
  images: z.array(z.object({ reference: z.string(), digest: z.string().optional() })).readonly(),
  reason: z.string().optional(),
  /** Of the registry's error. */
  code: z.string().optional(),
  /** Where the file is now, below the spool. */
  keptAs: z.string().optional(),
  /** Bytes. */
  size: z.number(),
  attempts: z.number(),
  startedAt: z.string(),
  finishedAt: z.string(),
})

/** What became of a file: `done/NAME.json` or `failed/NAME.json`. It has no secret. */
export type SpoolRecord = z.infer<typeof schema>

type Limits = {
  /** Records in `done/`; 0: none is written. */
  readonly maxDone: number
  /** Milliseconds. */
  readonly maxAge: number
}

/** Names of one file in `failed/`. */
const maxNames = 10_000

export function createSpoolRecords(root: string, { maxDone, maxAge }: Limits) {
  const temporary = join(root, stateDirectory, 'tmp')
  const recordOf = (directory: string, path: string) => join(root, directory, `${path}.json`)

  /**
   * Moves the file, which is at `from`, to `failed/`, beside its record. A file of the same name that is
   * there stays.
   */
  const fail = async (entry: Entry, record: SpoolRecord, from: string): Promise<void> => {
    for (let at = 1; at < maxNames; at += 1) {
      const keptAs = `${failedDirectory}/${entry.path}${at === 1 ? '' : `.${at}`}`
      const target = join(root, keptAs)
      await mkdir(dirname(target), { recursive: true })
      const isDirectory = entry.kind === 'layout'
      const before = await lstat(target).catch(() => undefined)
      // What a move that was interrupted has left: the file has both names.
      if (before !== undefined && (await isSame(before, from))) return rm(from)
      if (before !== undefined) continue
      // First the reason: a file in failed/ always has one.
      await writeRecord(recordOf(failedDirectory, entry.path), { ...record, keptAs }, temporary)
      if (await moveWithoutReplacing(from, target, isDirectory)) return
    }
    throw new Error(`${failedDirectory}/ has too many files named ${entry.path}`)
  }

  const done = async (record: SpoolRecord): Promise<void> => {
    if (maxDone === 0) return
    await writeRecord(recordOf(doneDirectory, record.file), record, temporary)
  }

  /** Removes the oldest records of `done/`, beyond the limits. */
  const prune = async (now: number): Promise<void> => {
    const directory = join(root, doneDirectory)
    const files = []
    for (const path of await filesBelow(directory).catch(() => [])) {
      const stat = await lstat(path).catch(() => undefined)
      if (stat?.isFile()) files.push({ path, modified: stat.mtimeMs })
    }
    const newestFirst = files.toSorted((a, b) => b.modified - a.modified)
    for (const [at, { path, modified }] of newestFirst.entries())
      if (at >= maxDone || now - modified > maxAge) await rm(path, { force: true })
  }

  return { fail, done, prune }
}

/** The newest record of a file, if there is one. */
export async function findRecord(root: string, path: string): Promise<SpoolRecord | undefined> {
  const found = []
  for (const directory of [failedDirectory, doneDirectory]) {
    const parsed = schema.safeParse(await readRecord(join(root, directory, `${path}.json`)))
    if (parsed.success) found.push(parsed.data)
  }
  return found.toSorted((a, b) => b.finishedAt.localeCompare(a.finishedAt))[0]
}

/** Files in `failed/`, without their records. */
export async function countFailed(root: string): Promise<number> {
  const files = await filesBelow(join(root, failedDirectory)).catch(() => [])
  return files.filter((path) => !path.endsWith('.json')).length
}

async function isSame({ ino, dev, nlink }: Stats, path: string): Promise<boolean> {
  const other = await lstat(path).catch(() => undefined)
  return nlink > 1 && other?.ino === ino && other.dev === dev
}
