import type { Stats } from 'node:fs'
import { lstat, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { z } from 'zod'
import { inDirectory } from '../input/input.ts'
import {
  inNewDirectory,
  moveWithoutReplacing,
  parentOf,
  readRecord,
  writeRecord,
} from './durable-files.ts'
import { filesBelow } from './files-below.ts'
import type { Entry } from './spool-entries.ts'
import { doneDirectory, failedDirectory, keptPath, stateDirectory } from './spool-names.ts'

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

type Options = {
  /** Records in `done/`; 0: none is written. */
  readonly maxDone: number
  /** Milliseconds. */
  readonly maxAge: number
  /** A directory outside of the spool for all records, failures included. */
  readonly results?: string | undefined
}

export function parseRecord(value: unknown): SpoolRecord | undefined {
  return schema.safeParse(value).data
}

/** @throws as `writeRecord`. */
export function writeSpoolRecord(
  place: Parameters<typeof writeRecord>[0],
  record: SpoolRecord,
): Promise<void> {
  return writeRecord(place, record)
}

/** Names of one file in `failed/`. */
const maxNames = 10_000
/** Of results, if there are no records in `done/`. */
const defaultResults = 1000
const temporary = `${stateDirectory}/tmp`

export function createSpoolRecords(root: string, { maxDone, maxAge, results }: Options) {
  const write = (directory: string, path: string, record: SpoolRecord) =>
    writeSpoolRecord({ root, path: `${directory}/${keptPath(path)}.json`, temporary }, record)

  /**
   * Moves the file, which is at `from`, to `failed/`, beside its record. A file of the same name that is
   * there stays. One that is named as a record gets another name: the record of `app` replaces `app.json`.
   */
  const fail = async (entry: Entry, record: SpoolRecord, from: string): Promise<void> => {
    const isDirectory = (await lstat(from)).isDirectory()
    const kept = `${failedDirectory}/${keptPath(entry.path)}`
    for (let at = kept.endsWith('.json') ? 2 : 1; at < maxNames; at += 1) {
      const keptAs = `${kept}${at === 1 ? '' : `.${at}`}`
      const isDone = await inNewDirectory({ root, path: keptAs }, async (parent, base) => {
        const target = parent.at(base)
        const before = await lstat(target).catch(() => undefined)
        // What a move that was interrupted has left: the file has both names.
        if (before !== undefined && (await isSame(before, from))) return rm(from).then(() => true)
        if (before !== undefined) return false
        // First the reason: a file in failed/ always has one.
        await write(failedDirectory, entry.path, { ...record, keptAs })
        return moveWithoutReplacing(from, target, isDirectory)
      })
      if (isDone) return
    }
    throw new Error(`${failedDirectory}/ has too many files named ${entry.path}`)
  }

  const done = async (record: SpoolRecord): Promise<void> => {
    if (maxDone > 0) await write(doneDirectory, record.file, record)
  }

  const result = async (record: SpoolRecord): Promise<void> => {
    if (results === undefined) return
    const path = `${keptPath(record.file)}.json`
    await writeSpoolRecord({ root: results, path, temporary: '' }, record)
  }

  /** Removes the oldest records of `done/` and of the results, beyond the limits. */
  const prune = async (now: number): Promise<void> => {
    await pruneBelow({ root, path: doneDirectory }, { max: maxDone, oldest: now - maxAge })
    if (results === undefined) return
    const max = maxDone === 0 ? defaultResults : maxDone
    await pruneBelow({ root: results, path: '' }, { max, oldest: now - maxAge })
  }

  return { fail, done, result, prune }
}

async function pruneBelow(
  { root, path: directory }: { readonly root: string; readonly path: string },
  { max, oldest }: { readonly max: number; readonly oldest: number },
): Promise<void> {
  const files = (await filesBelow(root, directory)).filter(({ isRegular }) => isRegular)
  const newestFirst = files.toSorted((a, b) => b.modified - a.modified)
  for (const [at, { path, modified }] of newestFirst.entries()) {
    if (at < max && modified >= oldest) continue
    // Nobody else's files, if the directory is not ours alone.
    if (parseRecord(await readRecord(join(root, path))) === undefined) continue
    await inDirectory({ root, path: parentOf(path) }, (parent) =>
      rm(parent.at(basename(path)), { force: true }),
    )
  }
}

/** The newest record of a file, if there is one. */
export async function findRecord(root: string, path: string): Promise<SpoolRecord | undefined> {
  const found = []
  for (const directory of [failedDirectory, doneDirectory]) {
    const record = parseRecord(await readRecord(join(root, directory, `${keptPath(path)}.json`)))
    if (record !== undefined) found.push(record)
  }
  return found.toSorted((a, b) => b.finishedAt.localeCompare(a.finishedAt))[0]
}

/** Files in `failed/`, without their records: no other file there has a name that ends in `.json`. */
export async function countFailed(root: string): Promise<number> {
  return (await filesBelow(root, failedDirectory)).filter(isNoRecord).length
}

/** How many files are in `failed/`, and the newest records there. */
export async function readFailures(root: string, max: number) {
  const all = await filesBelow(root, failedDirectory)
  const newestFirst = all
    .filter((file) => !isNoRecord(file))
    .toSorted((a, b) => b.modified - a.modified)
  const read = newestFirst
    .slice(0, max)
    .map(async ({ path }) => parseRecord(await readRecord(join(root, path))))
  const records = (await Promise.all(read)).filter((record) => record !== undefined)
  return { failed: all.length - newestFirst.length, records }
}

function isNoRecord({ path }: { readonly path: string }): boolean {
  return !path.endsWith('.json')
}

async function isSame({ ino, dev, nlink }: Stats, path: string): Promise<boolean> {
  const other = await lstat(path).catch(() => undefined)
  return nlink > 1 && other?.ino === ino && other.dev === dev
}
