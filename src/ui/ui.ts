import { readdir, readFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import type { Site } from '../http/http.ts'
import { createFile, type PageFile } from './page-file.ts'
import { createPageSite } from './page-site.ts'

const mediaTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** Where `npm run build` puts the page: the same directory for src/ui/ui.ts and for dist/ui/ui.js. */
const builtPage = join(import.meta.dirname, '../../dist/ui/page')

/**
 * The page for browsers, at `/ui/`. Its files are small and stay in memory. `index.html` is the document; all
 * others are in one directory, whose name is a hash of them, so they never change.
 * @throws when the page was not built (ENOENT).
 */
export async function openPage(directory = builtPage): Promise<Site> {
  const files = new Map<string, PageFile>()
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  for (const entry of entries) {
    const mediaType = mediaTypes[extname(entry.name)]
    if (!entry.isFile() || mediaType === undefined) continue
    const file = join(entry.parentPath, entry.name)
    const path = file.slice(directory.length + 1)
    const isDocument = path === 'index.html'
    const bytes = await readFile(file)
    files.set(isDocument ? '' : path, createFile({ mediaType, bytes, isImmutable: !isDocument }))
  }
  return createPageSite(files)
}
