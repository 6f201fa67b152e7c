import { extname } from 'node:path'
import type { Site } from '../http/http.ts'
import { createFile, type PageFile } from './page-file.ts'
import { createPageSite } from './page-site.ts'
import { readPage } from './read-page.ts'

const mediaTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/**
 * The page for browsers, at `/ui/`. Its files are small and stay in memory. `index.html` is the document; all
 * others are in one directory, whose name is a hash of them, so they never change.
 * @throws when the page was not built (ENOENT).
 */
export async function openPage(directory?: string): Promise<Site> {
  const files = new Map<string, PageFile>()
  for (const [path, bytes] of await readPage(directory)) {
    const mediaType = mediaTypes[extname(path)]
    if (mediaType === undefined) continue
    const isDocument = path === 'index.html'
    files.set(isDocument ? '' : path, createFile({ mediaType, bytes, isImmutable: !isDocument }))
  }
  return createPageSite(files)
}
