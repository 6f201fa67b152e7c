import { globSync } from 'node:fs'
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { createRequire, isBuiltin } from 'node:module'
import { basename, dirname, join, relative } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { licensesOf, packageDirectory, packagesOf, sbomOf } from './bundled-packages.ts'

/**
 * Joins the program and its packages in few files, `dist/bundle` (`npm run bundle`), which images run: Node keeps the
 * text of each module and more beside it in memory. Native modules remain packages, in a `node_modules` of the bundle. The page
 * and the version are read from where `dist/ui/` reads them. Beside it are licences and a bill of materials of all packages.
 * Another directory of `dist` can be named: tests start such a bundle.
 */
const root = join(import.meta.dirname, '..')
const target = join(root, 'dist', process.argv[2] ?? 'bundle')
/** The modules that ask for the program of a thread. */
const asking = globSync('src/**/worker-url.ts', { cwd: root })

/** The bundler cannot join these. */
const native = ['koffi', '@node-rs/bcrypt']

const nameOf = (path: string) => `${basename(dirname(path))}-worker`

/** Modules of several directories become files of one, and so do the programs of threads. */
const workers: Plugin = {
  name: 'workers',
  setup: ({ onLoad }) =>
    onLoad({ filter: /\/src\/.*\/worker-url\.ts$/ }, ({ path }) => ({
      contents: `export const workerUrl = () => new URL('./${nameOf(path)}.js', import.meta.url)`,
    })),
}

/**
 * Node's modules without the copies that `import` makes of all their properties: that of `node:http` alone loads Node's
 * own undici, for 14 MB.
 */
const builtins: Plugin = {
  name: 'builtins',
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /^[a-z:/_]+$/ }, ({ path, kind }) =>
      kind === 'import-statement' && isBuiltin(path) ? { path, namespace: 'builtin' } : undefined,
    )
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule('${path}')`,
    }))
  },
}

/**
 * Packages that are imported on demand, with the names that Node finds in them: of a package that is CommonJS, the bundler
 * gives a file of its own only `default`.
 */
const onDemand: Plugin = {
  name: 'on-demand',
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /^[^./]/ }, ({ path, kind }) =>
      kind === 'dynamic-import' && !isBuiltin(path) ? { path, namespace: 'on-demand' } : undefined,
    )
    onLoad({ filter: /.*/, namespace: 'on-demand' }, async ({ path }) => {
      const names = Object.keys(await import(path)).filter((name) => /^[\w$]+$/.test(name))
      // The bundler may choose another file of the package, without `default`.
      const exported = names.map((name) =>
        name === 'default'
          ? "export default Reflect.get(all, 'default')"
          : `export const ${name} = all.${name}`,
      )
      return {
        contents: [`import * as all from '${path}'`, ...exported].join('\n'),
        resolveDir: root,
      }
    })
  },
}

/** Of undici, what the server uses: its index loads fetch, WebSockets, mocks and caches as well. */
const undici: Plugin = {
  name: 'undici',
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /^undici$/ }, ({ importer }) =>
      importer.includes('/src/outbound/') ? { path: 'undici', namespace: 'undici' } : undefined,
    )
    onLoad({ filter: /.*/, namespace: 'undici' }, () => ({
      contents: `
        Object.assign(require('undici/lib/dispatcher/dispatcher').prototype, require('undici/lib/api'))
        exports.Agent = require('undici/lib/dispatcher/agent')
        exports.Pool = require('undici/lib/dispatcher/pool')
        exports.ProxyAgent = require('undici/lib/dispatcher/proxy-agent')
        exports.buildConnector = require('undici/lib/core/connect')
        exports.errors = require('undici/lib/core/errors')`,
      resolveDir: root,
    }))
  },
}

await rm(target, { recursive: true, force: true })
const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: [
    { in: 'src/main.ts', out: 'main' },
    ...asking.map((path) => ({ in: join(dirname(path), 'worker.ts'), out: nameOf(path) })),
  ],
  outdir: target,
  bundle: true,
  // What is imported on demand stays so.
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  // Identifiers stay, for stack traces.
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'external',
  // Packages that are CommonJS require Node's modules.
  banner: {
    js: `const require = process.getBuiltinModule('node:module').createRequire(import.meta.url)`,
  },
  // Native modules, and what a package would like to have, and can do without.
  external: [...native, 'bufferutil', 'utf-8-validate'],
  metafile: true,
  plugins: [workers, builtins, onDemand, undici],
  logLevel: 'warning',
})

const nativeFiles = await copyNative()
const bundled = Object.values(metafile.outputs).flatMap(({ inputs }) => Object.keys(inputs))
// `npm run build` has put preact into the page.
const packages = await packagesOf([...bundled, ...nativeFiles, 'node_modules/preact/package.json'])
await writeFile(join(target, 'LICENSES'), await licensesOf(packages))
await writeFile(join(target, 'sbom.json'), await sbomOf(packages))

/** Copies the files that are loaded on a machine like this one, with their package.json. */
async function copyNative(): Promise<readonly string[]> {
  const require = createRequire(import.meta.url)
  for (const name of native) require(name)
  const loaded = Object.keys(require.cache)
    .map((path) => relative(root, path))
    .filter((path) => native.some((name) => path.includes(name)))
  const manifests = loaded.map((path) => join(packageDirectory(path) ?? '', 'package.json'))
  const files = [...new Set([...loaded, ...manifests])]
  for (const path of files) {
    await mkdir(dirname(join(target, path)), { recursive: true })
    await copyFile(join(root, path), join(target, path))
  }
  return files
}
