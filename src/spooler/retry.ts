import { lstat, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { inDirectory } from '../input/input.ts'
import { inNewDirectory, moveWithoutReplacing, parentOf, readRecord } from './durable-files.ts'
import { filesBelow } from './files-below.ts'
import { failedDirectory, keptPath, stateDirectory } from './spool-names.ts'
import { parseRecord, type SpoolRecord, writeSpoolRecord } from './spool-records.ts'

/** A file in `failed/`, and the name under which it was dropped. */
type Kept = { readonly keptAs: string; readonly file: string; readonly record?: SpoolRecord }

type Retried = {
  /** Where it is now, below the spool. */
  readonly file: string
  /** Why it stays where it is. */
  readonly problem?: string
}

/**
 * Moves files from `failed/` back to where they were dropped, so that they are tried again.
 * @param names As they were dropped, or as they are in `failed/`.
 */
export async function retryFailed(
  root: string,
  names: readonly string[] | 'all',
): Promise<readonly Retried[]> {
  const all = await listKept(root)
  if (names === 'all') return moveEach(root, all)
  const results: Retried[] = []
  for (const name of names) {
    const found = all.filter(({ keptAs, file }) =>
      [keptAs, keptAs.slice(failedDirectory.length + 1), file].includes(name),
    )
    if (found.length === 0) results.push({ file: name, problem: `not in ${failedDirectory}/` })
    else results.push(...(await moveEach(root, found)))
  }
  return results
}

async function moveEach(root: string, files: readonly Kept[]): Promise<readonly Retried[]> {
  const results: Retried[] = []
  for (const kept of files) results.push(await moveBack(root, kept))
  return results
}

/** The oldest first. */
async function listKept(root: string): Promise<readonly Kept[]> {
  const found = await filesBelow(root, failedDirectory)
  const records = new Map<string, SpoolRecord>()
  for (const { path } of found) {
    // What was rejected may be a FIFO, or large.
    if (!path.endsWith('.json')) continue
    const record = parseRecord(await readRecord(join(root, path)))
    if (record?.keptAs !== undefined && path === recordPathOf(record.file))
      records.set(record.keptAs, record)
  }
  const recordFiles = new Map([...records.values()].map(({ file }) => [keptPath(file), file]))
  const dropped = new Map<string, Kept>()
  for (const { path } of found.toSorted((a, b) => a.modified - b.modified)) {
    const name = path.slice(failedDirectory.length + 1)
    if (recordFiles.has(name.replace(/\.json$/, '')) && name.endsWith('.json')) continue
    // A layout is kept as a whole.
    const keptAs = [...parentsOf(path), path].find((each) => records.has(each)) ?? path
    const record = records.get(keptAs)
    dropped.set(keptAs, {
      keptAs,
      file: record?.file ?? originalName(keptAs.slice(failedDirectory.length + 1), recordFiles),
      ...(record && { record }),
    })
  }
  return [...dropped.values()]
}

function recordPathOf(file: string): string {
  return `${failedDirectory}/${keptPath(file)}.json`
}

/** `a`, `a/b` of `a/b/c`. */
function parentsOf(path: string): readonly string[] {
  const parts = path.split('/')
  return parts.slice(1).map((_, at) => parts.slice(0, at + 1).join('/'))
}

/** Without the end that a second file of one name got (`app.2`), which only the newest one has a record for. */
function originalName(name: string, recordFiles: ReadonlyMap<string, string>): string {
  const base = name.replace(/\.(?:\d+|replaced-[0-9a-f-]{36})$/, '')
  if (base === name) return name
  return recordFiles.get(base) ?? (name.includes('.replaced-') ? base : name)
}

async function moveBack(root: string, { keptAs, file, record }: Kept): Promise<Retried> {
  const recordPath = recordPathOf(file)
  const moved = await inDirectory({ root, path: parentOf(keptAs) }, (from) =>
    inNewDirectory({ root, path: file }, async (to, base) => {
      const source = from.at(basename(keptAs))
      if (await isThere(to.at(base))) return false
      const isDirectory = (await lstat(source)).isDirectory()
      // Before the move: after it, a new record may be there.
      if (record !== undefined) await removeRecord(root, recordPath)
      return moveWithoutReplacing(source, to.at(base), isDirectory)
    }),
  )
  if (moved) return { file }
  if (record !== undefined && !(await isThere(join(root, recordPath))))
    await writeSpoolRecord({ root, path: recordPath, temporary: `${stateDirectory}/tmp` }, record)
  return { file: keptAs, problem: `${file} is in the spool again` }
}

async function removeRecord(root: string, path: string): Promise<void> {
  await inDirectory({ root, path: parentOf(path) }, (parent) =>
    rm(parent.at(basename(path)), { force: true }),
  )
}

async function isThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined
}
