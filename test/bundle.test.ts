import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { dockerImage, dockerItems } from './support/archives.ts'
import { runCommand, startCommand } from './support/command.ts'
import { configFile } from './support/config-file.ts'
import { ownDirectory } from './support/directory.ts'
import { startGoogle } from './support/google.ts'
import { run } from './support/programs.ts'
import { tarFile } from './support/tar-file.ts'
import { sumIn } from './support/telemetry.ts'
import { until } from './support/until.ts'

const project = new URL('../', import.meta.url).pathname
const bundle = join(project, 'dist/bundle')
const file = join(bundle, 'main.js')

/** Milliseconds: the bundler has a CPU to share. */
const timeout = 180_000

test('the bundle that images run serves with its native modules, the page, and the thread of the index', {
  timeout,
}, async (t) => {
  await run([process.execPath, 'src/bundle.ts'], { directory: project })
  const directory = await ownDirectory(t)
  const config = join(directory, 'berth.json')
  const storage = {
    directory: join(directory, 'data'),
    hosted: { directory: join(directory, 'hosted') },
  }
  const addresses = { listen: '127.0.0.1:0', admin: '127.0.0.1:0' }
  await writeFile(config, configFile({ ...addresses, storage, upstreams: [] }))
  const berth = startCommand(['serve', '--config', config], { file, directory })
  t.after(() => berth.signal('SIGKILL'))
  const [line] = await berth.wrote(/^\{.*"msg":"listening".*\}$/m)
  const { listen, admin } = JSON.parse(line)
  const page = await fetch(`http://127.0.0.1:${listen[0].port}/ui/`)
  assert.match(await page.text(), /<script type="module"/)
  assert.match(await readFile(`/proc/${berth.pid}/maps`, 'utf8'), /koffi\.node/)
  await until('the thread of the index has read the volume', async () => {
    const response = await fetch(`http://127.0.0.1:${admin[0].port}/metrics`)
    const metrics = await response.text()
    assert.equal(sumIn(metrics, 'berth_index_complete'), 1)
  })
})

test('it has the names of packages that are loaded on demand: it gets a token of Google', async (t) => {
  const google = await startGoogle({ grant: 'impersonation' })
  t.after(() => google.stop())
  const environment = {
    GOOGLE_APPLICATION_CREDENTIALS: await google.configure(await ownDirectory(t)),
  }
  const input = 'us-docker.pkg.dev'
  const { stdout, stderr } = await runCommand(['docker-credential', 'get'], {
    ...{ file, environment, input },
  })
  assert.equal(stderr, '')
  assert.ok(google.accessTokens.spend(JSON.parse(stdout).Secret))
})

test('it looks into layers in a thread', async (t) => {
  const archive = join(await ownDirectory(t), 'app.tar')
  const image = dockerImage('app:1', [tarFile([{ name: 'etc/who', content: 'berth\n' }])])
  await writeFile(archive, tarFile(dockerItems([image])))
  const { stdout, stderr } = await runCommand(['files', archive, '/etc/who'], { file })
  assert.equal(stdout, 'berth\n', stderr)
})

test('it has all that is loaded on demand', async () => {
  const names = (await readdir(bundle)).filter(
    (name) => name.endsWith('.js') && !/^main|-worker/.test(name),
  )
  const imports = names.map((name) => `await import(${JSON.stringify(join(bundle, name))})`)
  assert.ok(imports.length > 100)
  await run([process.execPath, '--input-type=module', '--eval', imports.join('\n')])
})
