import { randomUUID } from 'node:crypto'
import { link, mkdir, open, readdir, rename, rm, rmdir, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { parseMark, withMark } from './mark.ts'
import { errnoOf, isMissing, lstatIfAny, readText } from './rooted.ts'

/** What was in a file's place before is beside it, under this ending, and comes back from there. */
export const beforeEnding = '.before-berth-trust'
const temporaryEnding = '.berth-trust-new'

/** Somebody else's now, and left alone. */
type Left = { readonly kind: 'left'; readonly reason: string }
/** What came of a file that was to be there, and how many directories go with it. */
export type Placement =
  | { readonly kind: 'unchanged' | 'written' | 'renewed' | 'replaced'; readonly made: number }
  | Left
/** What came of a file that was to go. */
type Removal = { readonly kind: 'unchanged' | 'restored' | 'removed' } | Left
export type Outcome = Placement | Removal

type Placed = {
  readonly path: string
  readonly body: string
  readonly owner: string
  /** How many directories went with it when it was ours a moment ago; undefined when it was not. */
  readonly madeBefore: number | undefined
}

type Found =
  | { readonly kind: 'absent' }
  | { readonly kind: 'ours'; readonly owner: string; readonly made: number; readonly body: string }
  | { readonly kind: 'edited'; readonly owner: string }
  | { readonly kind: 'foreign' }

/** What lies at a path; links are not followed, since they are what lies there. */
export async function inspect(path: string): Promise<Found> {
  if ((await lstatIfAny(path)) === undefined) return { kind: 'absent' }
  const text = await readText(path)
  const marked = text === undefined ? undefined : parseMark(text)
  if (marked === undefined) return { kind: 'foreign' }
  return marked.intact ? { kind: 'ours', ...marked } : { kind: 'edited', ...marked }
}

/**
 * Puts our text in its place in one step, so that a runtime reads the old one or the new one:
 *
 * 1. Nothing is there: the temporary file gets a second name, which fails if somebody was quicker.
 * 2. Ours is there: it is replaced, unless somebody edited it; then it is theirs.
 * 3. Something else is there: it gets a second name beside it and is replaced. Once that has
 *    happened, what appears there without our mark is somebody's answer to us, and stays.
 */
export async function placeFile(placed: Placed): Promise<Placement> {
  const { path, body, owner, madeBefore } = placed
  const found = await inspect(path)
  switch (found.kind) {
    case 'ours':
      if (found.owner !== owner) return left(`another berth trust (${found.owner}) wrote it`)
      if (found.body === body) return { kind: 'unchanged', made: found.made }
      await write(path, withMark(body, { owner, made: found.made }), rename)
      return { kind: 'renewed', made: found.made }
    case 'edited':
      return left('somebody edited it; remove it to have ours again')
    case 'absent':
      return createFile(placed)
    case 'foreign': {
      const begun = await sameFile(path, path + beforeEnding)
      if (begun === false || (begun === undefined && madeBefore !== undefined))
        return left('somebody else replaced ours; remove theirs to have ours again')
      await setAside(path, begun === true)
      await write(path, withMark(body, { owner, made: 0 }), rename)
      return { kind: 'replaced', made: 0 }
    }
  }
}

async function createFile({ path, body, owner, madeBefore = 0 }: Placed): Promise<Placement> {
  const made = await makeDirectories(dirname(path))
  // If only the file was removed, its directory is still ours.
  const mark = { owner, made: Math.max(made, madeBefore) }
  try {
    await write(path, withMark(body, mark), link)
    return { kind: 'written', made: mark.made }
  } catch (error) {
    await removeDirectories(ancestors(path, made))
    if (errnoOf(error) !== 'EEXIST') throw error
    return left('somebody wrote it at the same moment')
  }
}

/** What came of a file that was to go, and which directories above it were ours. */
export type Undone = { readonly outcome: Removal; readonly directories: readonly string[] }

/**
 * Puts back what was there before, if that is known, or nothing.
 * @param owner Undefined: whoever wrote it.
 */
export async function undoFile(path: string, owner: string | undefined): Promise<Undone> {
  const before = path + beforeEnding
  const wasThere = (await lstatIfAny(before)) !== undefined
  const found = await inspect(path)
  switch (found.kind) {
    case 'ours':
      if (owner !== undefined && found.owner !== owner) return undone({ kind: 'unchanged' })
      await (wasThere ? restore(before, path) : unlink(path))
      await syncDirectory(dirname(path))
      return undone({ kind: wasThere ? 'restored' : 'removed' }, ancestors(path, found.made))
    case 'absent':
      if (!wasThere) return undone({ kind: 'unchanged' })
      await restore(before, path)
      return undone({ kind: 'restored' })
    case 'edited':
      return owner !== undefined && found.owner !== owner
        ? undone({ kind: 'unchanged' })
        : undone(left('somebody edited it'))
    case 'foreign':
      if (!wasThere) return undone({ kind: 'unchanged' })
      if ((await sameFile(path, before)) !== true)
        return undone(left(`somebody else replaced ours; what was there before is ${before}`))
      await unlink(before)
      return undone({ kind: 'restored' })
  }
}

/** Those that are empty, the deepest first. Others are in use, and are returned. */
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

/** Directories that were made for another file go with this one, if it is in them. */
export async function inherit(path: string, directories: readonly string[]): Promise<void> {
  const above = directories.filter((directory) => path.startsWith(`${directory}/`))
  const found = await inspect(path)
  if (found.kind !== 'ours' || above.length === 0) return
  const { owner, body } = found
  const depths = above.map((directory) => path.slice(directory.length).split('/').length - 1)
  const made = Math.max(found.made, ...depths)
  if (made > found.made) await write(path, withMark(body, { owner, made }), rename)
}

/** What a killed process of ours left half-written in a directory. */
export async function removeTemporary(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => [])
  for (const name of names.filter((each) => each.endsWith(temporaryEnding)))
    await rm(join(directory, name), { force: true })
}

function left(reason: string): Left {
  return { kind: 'left', reason }
}

function undone(outcome: Removal, directories: readonly string[] = []): Undone {
  return { outcome, directories }
}

function ancestors(path: string, count: number): readonly string[] {
  const all: string[] = []
  for (let at = dirname(path); all.length < count; at = dirname(at)) all.push(at)
  return all
}

/** Undefined when there is no `other`. */
async function sameFile(path: string, other: string): Promise<boolean | undefined> {
  const [one, two] = [await lstatIfAny(path), await lstatIfAny(other)]
  if (two === undefined) return undefined
  return one?.ino === two.ino && one.dev === two.dev
}

/** A second name where that is possible, so that there is never nothing. */
async function setAside(path: string, isDone: boolean): Promise<void> {
  if (isDone) return
  const before = path + beforeEnding
  try {
    await link(path, before)
  } catch (error) {
    // A directory has but one name; and the kernel may refuse for a file of another owner.
    if (errnoOf(error) !== 'EPERM') throw error
    await rename(path, before)
  }
}

async function restore(before: string, path: string): Promise<void> {
  // No directory takes a file's place by itself.
  if ((await lstatIfAny(before))?.isDirectory()) await rm(path, { force: true })
  await rename(before, path)
}

/** How many had to be made. */
async function makeDirectories(directory: string): Promise<number> {
  const first = await mkdir(directory, { recursive: true, mode: 0o755 })
  if (first === undefined) return 0
  return directory.slice(dirname(first).length).split('/').filter(Boolean).length
}

async function write(
  path: string,
  text: string,
  put: (temporary: string, path: string) => Promise<void>,
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}${temporaryEnding}`)
  try {
    const handle = await open(temporary, 'wx', 0o644)
    try {
      await handle.chmod(0o644)
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
