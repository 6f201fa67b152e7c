import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { useDirectory } from '../support/directory.ts'
import { serveInstalled } from '../support/installed-berth.ts'
import { run } from '../support/programs.ts'

const directory = await useDirectory()
const project = new URL('../../', import.meta.url).pathname
const prefix = join(directory, 'prefix')
// npm may need more of it than its home: where certificates or a proxy are, for example.
const environment = process.env as Readonly<Record<string, string>>

const commandOf = (name: string) => [
  ...['env', '-i', `PATH=${dirname(process.execPath)}:/usr/bin:/bin`, `HOME=${directory}`],
  join(prefix, 'bin', name),
]
const execute = (name: string, ...args: readonly string[]) =>
  run([...commandOf(name), ...args], { directory })

test('the packed npm package, installed into an empty prefix, serves, pushes and pulls by its programs', async (t) => {
  const packing = ['npm', 'pack', '--json', '--pack-destination', directory]
  const options = { directory: project, environment, patience: 560 }
  const [{ filename, version }] = JSON.parse(await run(packing, options))
  const quietly = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel', 'error']
  const installing = ['npm', 'install', '--global', '--prefix', prefix, ...quietly]
  await run([...installing, join(directory, filename)], { environment, patience: 560 })
  for (const name of ['berth', 'kubectl-berth'])
    assert.equal(await execute(name, '--version'), `${version}\n`)

  const { asUser, host, page } = await serveInstalled(t, { commandOf, directory })
  assert.match(await page(), /<script type="module"/)
  await writeFile(join(directory, 'hello.txt'), 'hello world\n')
  const pushed = await execute('kubectl-berth', 'push', 'hello.txt', ...asUser)
  assert.match(pushed, /^image: localhost:30026\/local\/hello\.txt$/m)
  const login = asUser.slice(asUser.indexOf('--username'))
  const image = `${host}/local/hello.txt`
  await execute('registry-pull', '--unpack', image, 'back.txt', '--plain-http', ...login)
  assert.equal(await readFile(join(directory, 'back.txt'), 'utf8'), 'hello world\n')
})
