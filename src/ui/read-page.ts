import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Where `npm run build` puts the page: the same directory for src/ui and for dist/ui. */
const builtPage = join(import.meta.dirname, '../../dist/ui/page')

/**
 * The files of the page, by their paths below its directory. In an executable, they are a part of it.
 * @throws when the page was not built (ENOENT).
 */
export async function readPage(directory = builtPage): Promise<ReadonlyMap<string, Buffer>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = new Map<string, Buffer>()
  // One after another, because file descriptors may be few.
  for (const { parentPath, name } of entries.filter((entry) => entry.isFile())) {
    const file = join(parentPath, name)
    files.set(file.slice(directory.length + 1), await readFile(file))
  }
  return files
}
