import { createHash } from 'node:crypto'
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, posix } from 'node:path'

/**
 * Builds the page from what tsc has compiled (`npm run build`):
 *
 * 1. Follows the imports of `main.js`. A browser knows no packages, so `preact` becomes the file
 *    `vendor/preact.js`, a copy of the package's own module.
 * 2. Writes these modules, the style sheet and the icon to a directory named after their hash.
 * 3. Writes `index.html`, which names that directory, and lists the modules of the catalogue so that a browser
 *    requests them at once, not one level of imports after another. Others are imported on demand.
 */
const root = join(import.meta.dirname, '../..')
const compiled = join(root, 'dist/.page/ui/page')
const sources = join(root, 'src/ui/page')
const target = join(root, 'dist/ui/page')

const packages: Readonly<Record<string, string>> = {
  preact: 'preact/dist/preact.mjs',
  'preact/hooks': 'preact/hooks/dist/hooks.mjs',
  'preact/jsx-runtime': 'preact/jsx-runtime/dist/jsxRuntime.mjs',
}
/** Imports and exports, as tsc and preact's build write them; `import(` is on demand. */
const imports = /(\b(?:from|import)\s*(\(?))(["'])([^"']+)\3/g

const files = new Map<string, string>()
/** What each module imports, but not on demand. */
const staticImports = new Map<string, readonly string[]>()

async function addModule(path: string, source: string): Promise<void> {
  if (files.has(path)) return
  files.set(path, '')
  const code = (await readFile(source, 'utf8')).replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n')
  const found = [...code.matchAll(imports)].map(([, , demand, , name = '']) => ({
    ...resolveImport(path, name),
    isOnDemand: demand === '(',
  }))
  const rewritten = code.replace(
    imports,
    (_match, before: string, _demand, quote: string, name: string) => {
      const relative = posix.relative(posix.dirname(path), resolveImport(path, name).path)
      return `${before}${quote}${relative.startsWith('.') ? relative : `./${relative}`}${quote}`
    },
  )
  files.set(path, rewritten)
  staticImports.set(
    path,
    found.filter(({ isOnDemand }) => !isOnDemand).map((module) => module.path),
  )
  for (const module of found) await addModule(module.path, module.source)
}

function resolveImport(from: string, name: string): { path: string; source: string } {
  if (name.startsWith('.')) {
    const path = posix.join(posix.dirname(from), name)
    return { path, source: join(compiled, path) }
  }
  const file = packages[name]
  if (file === undefined) throw new Error(`${from} imports ${name}, which the page does not have`)
  return {
    path: `vendor/${name.replace('/', '-')}.js`,
    source: join(root, 'node_modules', file),
  }
}

/** A module and all that it imports, and those import. */
function closure(path: string, found = new Set<string>()): ReadonlySet<string> {
  if (found.has(path)) return found
  found.add(path)
  for (const next of staticImports.get(path) ?? []) closure(next, found)
  return found
}

await addModule('main.js', join(compiled, 'main.js'))
/** Needed for the first paint, most often. */
const first = new Set([...closure('main.js'), ...closure('catalogue/catalogue.js')])
// Runs before modules do, so it is none.
files.set('start.js', await readFile(join(compiled, 'start.js'), 'utf8'))
files.set('icon.svg', await readFile(join(sources, 'icon.svg'), 'utf8'))
// One file, in the order of their numbers.
const styles = (await readdir(join(sources, 'styles'))).sort()
const texts = await Promise.all(
  styles.map((name) => readFile(join(sources, 'styles', name), 'utf8')),
)
files.set('style.css', texts.join('\n'))

const hash = createHash('sha256')
for (const [path, text] of [...files].sort()) hash.update(`${path}\0${text}\0`)
const directory = hash.digest('hex').slice(0, 16)

const preloads = [...first].map((path) => `<link rel="modulepreload" href="${directory}/${path}">`)
const html = (await readFile(join(sources, 'index.html'), 'utf8'))
  .replaceAll('DIRECTORY', directory)
  .replace('<!-- preloads -->', preloads.join('\n    '))
const index = join(target, 'index.html')
// Written last. The same page stays, because others may read it.
if ((await readFile(index, 'utf8').catch(() => undefined)) !== html) {
  await rm(target, { recursive: true, force: true })
  for (const [path, text] of files) {
    const file = join(target, directory, path)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, text)
  }
  await cp(join(root, 'node_modules/preact/LICENSE'), join(target, directory, 'vendor/LICENSE'))
  await writeFile(index, html)
}
