import { lstat, opendir } from 'node:fs/promises'
import { inDirectory, type OpenDirectory } from '../input/input.ts'

type FileBelow = {
  /** Below the root. */
  readonly path: string
  readonly isRegular: boolean
  readonly modified: number
}

const maxFiles = 100_000
const maxDepth = 64

/** All that is not a directory below `path`, 100,000 at most. No link is followed. */
export async function filesBelow(root: string, path: string): Promise<readonly FileBelow[]> {
  const found: FileBelow[] = []
  const visit = async (directory: OpenDirectory, at: string, depth: number): Promise<void> => {
    for await (const { name } of await opendir(directory.at())) {
      if (found.length >= maxFiles) return
      const below = depth < maxDepth ? await directory.enter(name) : undefined
      const path = at === '' ? name : `${at}/${name}`
      if (below !== undefined) {
        await visit(below, path, depth + 1).finally(() => below.close())
        continue
      }
      const stat = await lstat(directory.at(name)).catch(() => undefined)
      if (stat === undefined) continue
      found.push({ path, isRegular: stat.isFile(), modified: stat.mtimeMs })
    }
  }
  await inDirectory({ root, path }, (directory) => visit(directory, path, 0))
  return found
}
