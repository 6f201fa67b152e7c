import { link, readdir, rename, rm, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errnoOf, isMissing, makeDirectory } from '../files.ts'
import { entriesOf, exists } from './directories.ts'
import type { DurableFiles } from './durable-files.ts'
import type { Syncing } from './syncing.ts'

type Restore = {
  readonly from: string
  readonly to: string
  readonly files: DurableFiles
  readonly syncing: Syncing
}

/**
 * Moves a directory back. If it exists again, only those of its files that are missing there: what
 * is newer stays. False: nothing was missing.
 */
export async function restoreDirectory({ from, to, files, syncing }: Restore): Promise<boolean> {
  try {
    await files.install({ from, to, stable: dirname(to) })
    return true
  } catch (error) {
    if (isMissing(error)) return false
    if (!['ENOTEMPTY', 'EEXIST'].includes(errnoOf(error))) throw error
    const changed = await mergeInto(from, to)
    await syncing.directories(new Set(changed))
    return changed.length > 0
  }
}

/** Returns the directories that got new entries. */
async function mergeInto(from: string, to: string): Promise<readonly string[]> {
  const entries = await readdir(from, { withFileTypes: true })
  const changed: string[] = []
  for (const entry of entries) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    if (!entry.isDirectory()) {
      if (await moveUnlessExists(source, target)) changed.push(to)
    } else if (await exists(target)) changed.push(...(await mergeInto(source, target)))
    else {
      await makeDirectory(dirname(target))
      await rename(source, target)
      changed.push(to)
    }
  }
  return changed
}

/** A rename would replace what was written since. */
async function moveUnlessExists(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false
    throw error
  }
  await rm(from, { force: true })
  return true
}

/** Removes a directory, and those below it, if they contain no files. */
export async function removeEmpty(directory: string): Promise<void> {
  for (const entry of await entriesOf(directory)) await removeEmpty(join(directory, entry))
  await rmdir(directory).catch((error: unknown) => {
    if (!isMissing(error) && errnoOf(error) !== 'ENOTEMPTY') throw error
  })
}
