import { globSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { type BuildOptions, build } from 'esbuild'
import { embedding, pageKey, workerKey } from './embedding.ts'

/** What is the same in the executables of all platforms. */
export type Bundle = {
  /** File of the program. */
  readonly main: string
  /** Other files that it needs, by the names of assets: the programs of its threads, and the page. */
  readonly assets: Readonly<Record<string, string>>
  /** Paths of all bundled sources. */
  readonly inputs: readonly string[]
}

const root = new URL('../../', import.meta.url).pathname
const entry = new URL('entry.ts', import.meta.url).pathname
/** What `npm run build` has made. */
const builtPage = join(root, 'dist/ui/page')
/** Modules that ask for the program of a thread. */
const threads = globSync('src/**/worker-url.ts', { cwd: root })

const options = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  // Packages that are CommonJS require Node's modules. No module has a file of its own.
  banner: {
    js: `const __filename = process.execPath
const __dirname = process.getBuiltinModule('node:path').dirname(__filename)
const __ownUrl = process.getBuiltinModule('node:url').pathToFileURL(__filename).href
const require = process.getBuiltinModule('node:module').createRequire(__filename)`,
  },
  define: { 'import.meta.url': '__ownUrl' },
  // What a package would like to have, and can do without.
  external: ['bufferutil', 'utf-8-validate'],
  metafile: true,
  logLevel: 'warning',
  logOverride: { 'large-file': 'silent' },
} satisfies BuildOptions

/** Writes the program and those of its threads into a directory. `npm run build` must have run. */
export async function bundle(directory: string, version: string): Promise<Bundle> {
  const { plugin, unseen } = embedding(version)
  const main = join(directory, 'main.mjs')
  const built = await build({ ...options, entryPoints: [entry], outfile: main, plugins: [plugin] })
  const missing = unseen()
  if (missing.length > 0) throw new Error(`no source is ${missing.join(' or ')}`)
  const assets: Record<string, string> = await pageFiles()
  for (const asking of threads) {
    const key = workerKey(join(root, asking))
    const file = join(directory, key.replaceAll('/', '-'))
    const source = join(root, asking.replace('worker-url', 'worker'))
    await build({ ...options, entryPoints: [source], outfile: file, plugins: [plugin] })
    assets[key] = file
  }
  return { main, assets, inputs: Object.keys(built.metafile.inputs) }
}

async function pageFiles(): Promise<Record<string, string>> {
  const entries = await readdir(builtPage, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const paths = files.map(({ parentPath, name }) => join(parentPath, name))
  return Object.fromEntries(paths.sort().map((path) => [pageKey(relative(builtPage, path)), path]))
}
