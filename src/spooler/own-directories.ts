import { randomUUID } from 'node:crypto'
import { lstat, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { inDirectory } from '../input/input.ts'
import { writeNew } from './durable-files.ts'
import { maxSilence } from './owners.ts'
import { doneDirectory, failedDirectory, stateDirectory } from './spool-names.ts'

const temporary = `${stateDirectory}/tmp`

/**
 * Creates the directory of the spooler's state.
 * @throws Error if a directory of the spooler is a link.
 */
export async function createState(root: string): Promise<void> {
  await refuseLinks(root)
  for (const name of ['claims', 'tmp', 'removing'])
    await inDirectory({ root, path: `${stateDirectory}/${name}`, create: true }, async () => {})
}

/**
 * Files would be moved and removed outside of the spool.
 * @throws Error that names the link.
 */
export async function refuseLinks(root: string): Promise<void> {
  const names = ['claims', 'tmp', 'removing'].map((name) => `${stateDirectory}/${name}`)
  for (const name of [failedDirectory, doneDirectory, stateDirectory, ...names]) {
    const found = await lstat(join(root, name)).catch(() => undefined)
    if (found?.isSymbolicLink())
      throw new Error(
        `${join(root, name)} is a symbolic link, and files would leave the spool through it: replace it by a directory, or remove it`,
      )
  }
}

/** @throws Error if nothing can be written to the spool, for example because the disk is full. */
export async function assertWritable(root: string): Promise<void> {
  const path = join(root, temporary, `${randomUUID()}.tmp`)
  await writeNew(path, 'x')
  await rm(path)
}

/** Removes temporary files of spoolers that were killed. */
export async function tidyTemporary(root: string): Promise<void> {
  for (const name of await readdir(join(root, temporary))) {
    const file = join(root, temporary, name)
    const found = await stat(file).catch(() => undefined)
    if (found !== undefined && Date.now() - found.mtimeMs > maxSilence)
      await rm(file, { force: true })
  }
}
