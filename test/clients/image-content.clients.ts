import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, suite, test } from 'node:test'
import { buildBerthImage } from '../support/berth-image.ts'
import { configFile } from '../support/config-file.ts'
import { useDirectory } from '../support/directory.ts'
import { run, start } from '../support/programs.ts'

const directory = await useDirectory()
const root = join(directory, 'root')
const bundle = 'opt/berth/dist/bundle'

/** As container runtimes set it for a user without an entry in /etc/passwd. */
const environment = { HOME: '/' }
/** In the file system of the image, with nothing else. */
const inImage = (...command: readonly string[]) => ['chroot', root, ...command]

async function filesBelow(path: string): Promise<readonly string[]> {
  const entries = await readdir(join(root, path), { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(root.length))
    .toSorted()
}

suite('the image', () => {
  before(async () => {
    const archive = await buildBerthImage()
    const [{ Layers: layers }] = JSON.parse(await run(['tar', '-xOf', archive, 'manifest.json']))
    await mkdir(root)
    for (const layer of layers)
      await run(['sh', '-c', 'tar -xOf "$0" "$1" | tar -xf - -C "$2"', archive, layer, root])
  })

  test('has the bundle and the page; of packages, only what native modules load', async () => {
    const files = await filesBelow('opt')
    const isOther = /^\/opt\/berth\/(?:package\.json$|dist\/bundle\/|dist\/ui\/page\/)/
    assert.deepEqual(
      files.filter((path) => !isOther.test(path)),
      [],
    )
    const script = `
      const require = process.getBuiltinModule('module').createRequire('/${bundle}/main.js')
      for (const name of ['koffi', '@node-rs/bcrypt']) require(name)
      console.log(JSON.stringify(Object.keys(require.cache)))`
    const loaded: readonly string[] = JSON.parse(
      await run(inImage('/usr/local/bin/node', '--eval', script)),
    )
    const unloaded = files.filter(
      (path) => path.includes('/node_modules/') && !loaded.includes(path),
    )
    for (const path of unloaded) assert.match(path, /\/package\.json$/)
    assert.ok(loaded.some((path) => path.endsWith('/koffi.node')))
  })

  test('lists the packages that are in it, and their licences', async () => {
    const { packages } = JSON.parse(
      await readFile(join(root, 'usr/share/berth/sbom.json'), 'utf8'),
    ) as { readonly packages: readonly { readonly name: string; readonly versionInfo: string }[] }
    const licenses = await readFile(join(root, 'usr/share/berth/LICENSES'), 'utf8')
    const names = packages.map(({ name }) => name)
    for (const name of ['berth', 'fastify', 'koffi', 'preact'])
      assert.ok(names.includes(name), name)
    for (const name of ['typescript', 'esbuild', '@types/node', 'bare-url'])
      assert.ok(!names.includes(name), name)
    for (const { name, versionInfo } of packages.filter(({ name }) => name !== 'berth'))
      assert.ok(licenses.includes(`${name} ${versionInfo}: `), name)
  })

  test("has Berth's own licence and that of Node", async () => {
    const share = join(root, 'usr/share/berth')
    assert.match(await readFile(join(share, 'LICENSE'), 'utf8'), /^\s+Apache License/)
    assert.match(await readFile(join(share, 'LICENSE.node'), 'utf8'), /^Node\.js is licensed/)
  })

  test('has all modules of all commands', async () => {
    const modules = (await readdir(join(root, bundle))).filter(
      (name) => name.endsWith('.js') && !/^main|-worker/.test(name),
    )
    assert.ok(modules.length > 100)
    const imports = modules.map((name) => `await import('/${bundle}/${name}')`).join('\n')
    await run(inImage('/usr/local/bin/node', '--input-type=module', '--eval', imports))
    assert.match(
      await run(inImage('/usr/local/bin/berth', '--version'), { environment }),
      /^\d+\.\d+\.\d+\n$/,
    )
    const line = await run(inImage('/usr/local/bin/berth', 'htpasswd', 'alice', '--cost', '4'), {
      environment,
      input: 'p',
    })
    assert.match(line, /^alice:\$2y\$04\$/)
  })

  test('serves the page, and files by sendfile', async (t) => {
    const addresses = { listen: '127.0.0.1:0', admin: '127.0.0.1:0' }
    const storage = { directory: '/data' }
    await writeFile(join(root, 'berth.json'), configFile({ ...addresses, storage, upstreams: [] }))
    // Berth's lock of a directory needs /proc.
    const mounting = 'mkdir -p "$0/proc" && mount --bind /proc "$0/proc" && exec "$@"'
    const serve = inImage('/usr/local/bin/berth', 'serve', '--config', '/berth.json')
    const berth = start(['unshare', '--mount', 'sh', '-c', mounting, root, ...serve], {
      environment,
    })
    t.after(() => berth.kill())
    const [line] = await berth.wrote(/^\{.*"msg":"listening".*\}$/m)
    const { listen } = JSON.parse(line)
    const page = await fetch(`http://127.0.0.1:${listen[0].port}/ui/`)
    assert.match(await page.text(), /<script type="module"/)
    assert.match(await readFile(`/proc/${berth.pid}/maps`, 'utf8'), /koffi\.node/)
  })
})
