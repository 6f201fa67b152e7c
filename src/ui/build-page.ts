import { createHash } from 'node:crypto'
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, posix } from 'node:path'

/**
 * Builds the page from what tsc has compiled (`npm run build`):
 *
 * 1. Follows the imports of `main.js`. A browser knows no packages, so `preact` becomes the file
 *    `vendor/preact.js`, a copy of the package's own module.
 * 2. Writes these modules, the style sheet and the icon to a directory named after their hash.
 * 3. Writes `index.html`, which names that directory, and lists all modules so that a browser requests
 *    them at once, not one level of imports after another.
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
/** Static imports and exports, as tsc and preact's build write them. */
const imports = /(\b(?:from|import)\s*)(["'])([^"']+)\2/g

const files = new Map<string, string>()

async function addModule(path: string, source: string): Promise<void> {
  if (files.has(path)) return
  files.set(path, '')
  const code = (await readFile(source, 'utf8')).replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n')
  const found: { readonly path: string; readonly source: string }[] = []
  const rewritten = code.replace(imports, (_match, before: string, quote: string, name: string) => {
    const module = resolveImport(path, name)
    found.push(module)
    const relative = posix.relative(posix.dirname(path), module.path)
    return `${before}${quote}${relative.startsWith('.') ? relative : `./${relative}`}${quote}`
  })
  files.set(path, rewritten)
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

await addModule('main.js', join(compiled, 'main.js'))
const modules = [...files.keys()]
// Runs before the first paint, so it is no module.
files.set('theme.js', await readFile(join(compiled, 'theme.js'), 'utf8'))
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

await rm(target, { recursive: true, force: true })
for (const [path, text] of files) {
  const file = join(target, directory, path)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, text)
}
await cp(join(root, 'node_modules/preact/LICENSE'), join(target, directory, 'vendor/LICENSE'))
const preloads = modules.map((path) => `<link rel="modulepreload" href="${directory}/${path}">`)
const html = await readFile(join(sources, 'index.html'), 'utf8')
await writeFile(
  join(target, 'index.html'),
  html.replaceAll('DIRECTORY', directory).replace('<!-- preloads -->', preloads.join('\n    ')),
)
