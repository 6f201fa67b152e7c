import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing } from '../files.ts'
import { blobsDirectory } from '../paths.ts'
import { entriesOf, repositoriesIn } from './directories.ts'
import { tagsOf } from './layout.ts'

/**
 * A text that differs when another program has added or removed blobs or tags: the modification
 * times of the directories which contain them. What is written in place leaves no trace.
 */
export async function fingerprintOf(root: string): Promise<string> {
  const hash = createHash('sha256')
  const add = async (directories: readonly string[]): Promise<void> => {
    const times = await Promise.all(directories.map(modifiedAt))
    for (const [at, directory] of directories.entries()) hash.update(`${directory} ${times[at]}\n`)
  }
  const blobs = blobsDirectory(root)
  for (const algorithm of await entriesOf(blobs)) {
    const directory = join(blobs, algorithm)
    const below = (await entriesOf(directory)).toSorted()
    await add(below.map((start) => join(directory, start)))
  }
  for await (const name of repositoriesIn(root)) await add([tagsOf(root, name)])
  return hash.digest('hex')
}

async function modifiedAt(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs
  } catch (error) {
    if (!isMissing(error)) throw error
    return 0
  }
}
