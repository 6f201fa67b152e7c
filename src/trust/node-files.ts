import { randomUUID } from 'node:crypto'
import { link, mkdir, open, readdir, rename, rm, rmdir, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { parseMark, withMark } from './mark.ts'
import { errnoOf, isMissing, lstatIfAny, readText } from './rooted.ts'

/** The file that was there before is kept beside it with this suffix, and restored from there. */
export const originalSuffix = '.before-berth-trust'
const temporarySuffix = '.berth-trust-new'

/** The file has another owner, or was edited, and is not changed. */
type Untouched = { readonly kind: 'untouched'; readonly reason: string }
/** The result of writing a file, and how many directories were created for it. */
export type WriteResult =
  | { readonly kind: 'unchanged' | 'written' | 'renewed' | 'replaced'; readonly created: number }
  | Untouched
/** The result of removing a file. */
type Removal = { readonly kind: 'unchanged' | 'restored' | 'removed' } | Untouched
export type Outcome = WriteResult | Removal

type WriteRequest = {
  readonly path: string
  readonly body: string
  readonly owner: string
  /** Number of directories created for it if this process wrote it before; else undefined. */
  readonly createdBefore: number | undefined
}

type Found =
  | { readonly kind: 'absent' }
  | {
      readonly kind: 'owned'
      readonly owner: string
      readonly created: number
      readonly body: string
    }
  | { readonly kind: 'edited'; readonly owner: string }
  | { readonly kind: 'foreign' }

/** What is at a path. Links are not followed. */
export async function inspect(path: string): Promise<Found> {
  if ((await lstatIfAny(path)) === undefined) return { kind: 'absent' }
  const text = await readText(path)
  const marked = text === undefined ? undefined : parseMark(text)
  if (marked === undefined) return { kind: 'foreign' }
  return marked.intact ? { kind: 'owned', ...marked } : { kind: 'edited', ...marked }
}

/**
 * Writes a file atomically, so that a runtime reads the old content or the new one:
 *
 * 1. There is no file: link(2) gives the temporary file its name, and fails if another process was faster.
 * 2. There is a file that Berth wrote: it is replaced, unless it was edited.
 * 3. There is another file: it is kept beside it under a second name, and replaced. If another
 *    program replaces Berth's file later, that is deliberate, and its file stays.
 */
export async function writeFile(placed: WriteRequest): Promise<WriteResult> {
  const { path, body, owner, createdBefore } = placed
  const found = await inspect(path)
  switch (found.kind) {
    case 'owned':
      if (found.owner !== owner)
        return untouched(`another berth trust (${found.owner}) wrote this file`)
      if (found.body === body) return { kind: 'unchanged', created: found.created }
      await write(path, withMark(body, { owner, created: found.created }), rename)
      return { kind: 'renewed', created: found.created }
    case 'edited':
      return untouched('the file was edited and is not changed; remove it to have it written again')
    case 'absent':
      return createFile(placed)
    case 'foreign': {
      const hasBackup = await sameFile(path, path + originalSuffix)
      if (hasBackup === false || (hasBackup === undefined && createdBefore !== undefined))
        return untouched(
          'the file was replaced by another program and is not changed; remove it to have it written again',
        )
      await backUp(path, hasBackup === true)
      await write(path, withMark(body, { owner, created: 0 }), rename)
      return { kind: 'replaced', created: 0 }
    }
  }
}

async function createFile({
  path,
  body,
  owner,
  createdBefore = 0,
}: WriteRequest): Promise<WriteResult> {
  const created = await makeDirectories(dirname(path))
  // If only the file was removed, the directory created for it still counts.
  const mark = { owner, created: Math.max(created, createdBefore) }
  try {
    await write(path, withMark(body, mark), link)
    return { kind: 'written', created: mark.created }
  } catch (error) {
    await removeDirectories(ancestors(path, created))
    if (errnoOf(error) !== 'EEXIST') throw error
    return untouched('another process created the file at the same time')
  }
}

/** The result of removing a file, and the parent directories that were created for it. */
export type Undone = { readonly outcome: Removal; readonly directories: readonly string[] }

/**
 * Restores the file that was there before, or removes the file if there was none.
 * @param owner Undefined: any writer.
 */
export async function undoFile(path: string, owner: string | undefined): Promise<Undone> {
  const before = path + originalSuffix
  const hadOriginal = (await lstatIfAny(before)) !== undefined
  const found = await inspect(path)
  switch (found.kind) {
    case 'owned':
      if (owner !== undefined && found.owner !== owner) return restored({ kind: 'unchanged' })
      await (hadOriginal ? restore(before, path) : unlink(path))
      await syncDirectory(dirname(path))
      return restored(
        { kind: hadOriginal ? 'restored' : 'removed' },
        ancestors(path, found.created),
      )
    case 'absent':
      if (!hadOriginal) return restored({ kind: 'unchanged' })
      await restore(before, path)
      return restored({ kind: 'restored' })
    case 'edited':
      return owner !== undefined && found.owner !== owner
        ? restored({ kind: 'unchanged' })
        : restored(untouched('the file was edited'))
    case 'foreign':
      if (!hadOriginal) return restored({ kind: 'unchanged' })
      if ((await sameFile(path, before)) !== true)
        return restored(
          untouched(`the file was replaced by another program; the original is kept as ${before}`),
        )
      await unlink(before)
      return restored({ kind: 'restored' })
  }
}

/** Removes empty directories, the deepest first. Returns the others, which are in use. */
export async function removeDirectories(
  directories: readonly string[],
): Promise<readonly string[]> {
  const deepestFirst = [...new Set(directories)].toSorted((a, b) => b.length - a.length)
  const used: string[] = []
  for (const directory of deepestFirst) {
    try {
      await rmdir(directory)
    } catch (error) {
      if (['ENOTEMPTY', 'EEXIST', 'EBUSY'].includes(errnoOf(error))) used.push(directory)
      else if (!isMissing(error)) throw error
    }
  }
  return used
}

/** Directories that were created for another file are removed with this one if it is inside them. */
export async function inheritDirectories(
  path: string,
  directories: readonly string[],
): Promise<void> {
  const above = directories.filter((directory) => path.startsWith(`${directory}/`))
  const found = await inspect(path)
  if (found.kind !== 'owned' || above.length === 0) return
  const { owner, body } = found
  const depths = above.map((directory) => path.slice(directory.length).split('/').length - 1)
  const created = Math.max(found.created, ...depths)
  if (created > found.created) await write(path, withMark(body, { owner, created }), rename)
}

/** Removes temporary files that a killed process left in a directory. */
export async function removeTemporary(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => [])
  for (const name of names.filter((each) => each.endsWith(temporarySuffix)))
    await rm(join(directory, name), { force: true })
}

function untouched(reason: string): Untouched {
  return { kind: 'untouched', reason }
}

function restored(outcome: Removal, directories: readonly string[] = []): Undone {
  return { outcome, directories }
}

function ancestors(path: string, count: number): readonly string[] {
  const all: string[] = []
  for (let at = dirname(path); all.length < count; at = dirname(at)) all.push(at)
  return all
}

/** Undefined when `other` does not exist. */
async function sameFile(path: string, other: string): Promise<boolean | undefined> {
  const [one, two] = [await lstatIfAny(path), await lstatIfAny(other)]
  if (two === undefined) return undefined
  return one?.ino === two.ino && one.dev === two.dev
}

/** Links the file to a second name where possible, so that the path always exists. */
async function backUp(path: string, isDone: boolean): Promise<void> {
  if (isDone) return
  const before = path + originalSuffix
  try {
    await link(path, before)
  } catch (error) {
    // Directories cannot have two names, and the kernel may refuse it for a file of another owner.
    if (errnoOf(error) !== 'EPERM') throw error
    await rename(path, before)
  }
}

async function restore(before: string, path: string): Promise<void> {
  // rename(2) does not replace a file with a directory.
  if ((await lstatIfAny(before))?.isDirectory()) await rm(path, { force: true })
  await rename(before, path)
}

/** Returns the number of created directories. */
async function makeDirectories(directory: string): Promise<number> {
  const first = await mkdir(directory, { recursive: true, mode: 0o755 })
  if (first === undefined) return 0
  return directory.slice(dirname(first).length).split('/').filter(Boolean).length
}

/** A program begins with its interpreter. */
function modeOf(text: string): number {
  return text.startsWith('#!') ? 0o755 : 0o644
}

async function write(
  path: string,
  text: string,
  put: (temporary: string, path: string) => Promise<void>,
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}${temporarySuffix}`)
  try {
    const handle = await open(temporary, 'wx', modeOf(text))
    try {
      await handle.chmod(modeOf(text))
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await put(temporary, path)
    await syncDirectory(dirname(path))
  } finally {
    await rm(temporary, { force: true })
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
