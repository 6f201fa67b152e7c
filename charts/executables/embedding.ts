import { relative } from 'node:path'
import type { Plugin } from 'esbuild'

// What sources read from files is part of an executable.

const addons = JSON.stringify(new URL('addons.ts', import.meta.url).pathname)
const root = new URL('../../', import.meta.url).pathname

type Replacement = { readonly filter: RegExp; readonly contents: (path: string) => string }

const replacements = (version: string): readonly Replacement[] => [
  {
    filter: /\/src\/cli\/version\.ts$/,
    contents: () => `export const readVersion = () => ${JSON.stringify(version)}`,
  },
  {
    filter: /\/worker-url\.ts$/,
    contents: (path) => `
      import { getAsset } from 'node:sea'
      export function workerUrl() {
        const program = Buffer.from(getAsset(${JSON.stringify(workerKey(path))}))
        return new URL('data:text/javascript;base64,' + program.toString('base64'))
      }`,
  },
  {
    filter: /\/src\/ui\/read-page\.ts$/,
    contents: () => `
      import { getAsset, getAssetKeys } from 'node:sea'
      export async function readPage() {
        const keys = getAssetKeys().filter((key) => key.startsWith(${JSON.stringify(pageKey(''))}))
        const files = keys.map((key) => [key.slice(${pageKey('').length}), Buffer.from(getAsset(key))])
        return new Map(files)
      }`,
  },
  {
    filter: /\/@node-rs\/bcrypt\/binding\.js$/,
    contents: () => `
      const { loadAddon, missingBcrypt } = require(${addons})
      module.exports = loadAddon('bcrypt') ?? missingBcrypt()`,
  },
  {
    filter: /\/koffi\/src\/koffi\/src\/static\.cjs$/,
    contents: () => `
      const { loadAddon } = require(${addons})
      module.exports = { loadStatic: () => loadAddon('koffi') }`,
  },
]

/** The module `node:module` for our own sources: they require koffi only where it is needed. */
const nodeModule = `
  import { requireEmbedded } from ${addons}
  export const createRequire = requireEmbedded({ koffi: () => require('koffi') })`

/** The name of a thread's program among the assets, by the module that asks for it. */
export function workerKey(path: string): string {
  return `${relative(root, path)
    .replaceAll('\\', '/')
    .replace(/worker-url\.ts$/, 'worker')}.mjs`
}

/** The name of a file of the page among the assets, by its path. */
export function pageKey(path: string): string {
  return `page/${path.replaceAll('\\', '/')}`
}

/** `unseen`: what was not replaced, because no file is it. */
export function embedding(version: string): {
  readonly plugin: Plugin
  unseen(): readonly RegExp[]
} {
  const all = replacements(version)
  const seen = new Set<RegExp>()
  const plugin: Plugin = {
    name: 'embedding',
    setup: ({ onLoad, onResolve }) => {
      for (const { filter, contents } of all)
        onLoad({ filter }, ({ path }) => {
          seen.add(filter)
          return { contents: contents(path), loader: 'js' }
        })
      onResolve({ filter: /^node:module$/ }, ({ importer }) =>
        importer.startsWith(`${root}src/`) ? { path: 'node:module', namespace: 'embedded' } : null,
      )
      onLoad({ filter: /.*/, namespace: 'embedded' }, () => ({
        contents: nodeModule,
        resolveDir: root,
        loader: 'js',
      }))
    },
  }
  return { plugin, unseen: () => all.map(({ filter }) => filter).filter((one) => !seen.has(one)) }
}
