import assert from 'node:assert/strict'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { arch } from 'node:os'
import { join } from 'node:path'
import { before, suite, type TestContext, test } from 'node:test'
import { stringify } from 'yaml'
import { dockerImage, dockerItems } from '../support/archives.ts'
import { configFile } from '../support/config-file.ts'
import { useDirectory } from '../support/directory.ts'
import { startExecApiServer } from '../support/exec-api-server.ts'
import { run, start, tool } from '../support/programs.ts'
import { tarFile } from '../support/tar-file.ts'
import { sumIn } from '../support/telemetry.ts'
import { until } from '../support/until.ts'

const directory = await useDirectory()
const alone = join(directory, 'alone')
const output = join(directory, 'output')
const project = new URL('../../', import.meta.url).pathname
const platform = `linux_${arch() === 'x64' ? 'amd64' : arch()}`
const password = 'of-the-executable'

/** Neither a program that it could start, nor a module that it could load, is where the executable is. */
const execute = (name: string, ...args: readonly string[]) =>
  run(['env', '-i', 'PATH=/nonexistent', `HOME=${alone}`, join(alone, name), ...args], {
    directory: alone,
  })

suite('an executable', () => {
  let archive: string

  before(async () => {
    const options = ['--platform', platform, '--output', output, '--url', 'https://example.test/b/']
    // npm may need more of it than its home: where certificates or a proxy are, for example.
    const environment = process.env as Readonly<Record<string, string>>
    await run(['npm', 'run', '--silent', 'executables', '--', ...options], {
      directory: project,
      environment,
      patience: 600,
    })
    const sums = await readFile(join(output, `berth_${await version()}_SHA256SUMS`), 'utf8')
    archive = join(output, sums.trim().split('  ')[1] ?? '')
    await run(['sha256sum', '--check', '--strict'], { directory: output, input: sums })
    await mkdir(alone)
    await run(['tar', '-xzf', archive, '-C', alone])
    await symlink('kubectl-berth', join(alone, 'berth'))
  })

  test('runs by itself, as the program whose name it has', async () => {
    assert.equal(await execute('berth', '--version'), `${await version()}\n`)
    assert.match(await execute('berth', 'pull', '--help'), /^Usage: berth pull/)
    const plugin = await execute('kubectl-berth', 'pull', '--help')
    assert.match(plugin, /The registry is found in the cluster/)
    for (const file of ['LICENSE', 'LICENSE.node']) assert.ok(await readFile(join(alone, file)))
    assert.match(await readFile(join(alone, 'LICENSE.packages'), 'utf8'), /^fastify 5\..*: MIT$/m)
  })

  test('serves a registry with its native modules and threads, and pushes to it as kubectl berth', async (t) => {
    const berth = await serve(t)
    const kubeconfig = await connect(t, berth.cache)
    await writeFile(join(alone, 'app.tar'), tarFile(dockerItems([image])))
    const cluster = ['--kubeconfig', kubeconfig]
    await writeFile(join(alone, 'password'), password)
    const login = ['--username', 'alice', '--password-file', join(alone, 'password')]

    const pushed = await execute('kubectl-berth', 'push', 'app.tar', 'app:1', ...cluster, ...login)
    assert.match(pushed, /^image: localhost:30026\/local\/app:1$/m)
    assert.match(await execute('kubectl-berth', 'list', 'app', ...cluster, ...login), /^1$/m)
    await execute('kubectl-berth', 'pull', 'app:1', 'back.tar', ...cluster, ...login)
    assert.equal(await execute('berth', 'files', 'back.tar', '/etc/who'), 'berth\n')

    assert.match(await berth.page(), /<script type="module"/)
    const maps = await readFile(`/proc/${berth.pid}/maps`, 'utf8')
    assert.ok(/koffi\.node \(deleted\)/.test(maps), 'koffi is not loaded')
    await until('the thread of the index has read the volume', async () => {
      assert.equal(sumIn(await berth.metrics(), 'berth_index_complete'), 1)
      assert.equal(sumIn(await berth.metrics(), 'berth_index_failures_total'), 0)
    })
  })

  test('krew installs it as kubectl berth', async () => {
    const root = join(directory, 'krew')
    const environment = { PATH: `${root}/bin:/usr/bin:/bin`, HOME: directory, KREW_ROOT: root }
    const manifest = join(output, 'berth.yaml')
    const options = ['install', `--manifest=${manifest}`, `--archive=${archive}`]
    await run([tool('krew'), ...options], { environment })
    assert.equal(
      await run([tool('kubectl'), 'berth', '--version'], { environment }),
      `${await version()}\n`,
    )
    assert.match(
      await readFile(manifest, 'utf8'),
      new RegExp(
        `uri: https://example\\.test/b/berth_${await version()}_${platform}\\.tar\\.gz$`,
        'm',
      ),
    )
  })
})

const image = dockerImage('app:1', [tarFile([{ name: 'etc/who', content: 'berth\n' }])])

async function version(): Promise<string> {
  return JSON.parse(await readFile(join(project, 'package.json'), 'utf8')).version
}

async function serve(t: TestContext) {
  const data = join(directory, 'data')
  const htpasswd = join(alone, 'htpasswd')
  const command = ['env', '-i', join(alone, 'berth'), 'htpasswd', 'alice']
  await writeFile(htpasswd, await run(command, { input: `${password}\n` }))
  const rule = { users: ['alice'], repositories: ['**'], actions: ['pull', 'push'] }
  const config = {
    listen: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    storage: { directory: data },
    hosted: [{ prefix: 'local' }],
    auth: { htpasswd, access: [rule] },
  }
  const file = join(alone, 'berth.yaml')
  await writeFile(file, configFile(config))
  const program = start(
    ['env', '-i', `HOME=${alone}`, join(alone, 'berth'), 'serve', '--config', file],
    {
      directory: alone,
    },
  )
  t.after(program.kill)
  const [line] = await program.wrote(/^\{.*"msg":"listening".*\}$/m)
  const { listen, admin: admins } = JSON.parse(line)
  const [{ port: admin }] = admins
  const page = async () => (await fetch(`http://127.0.0.1:${listen[0].port}/ui/`)).text()
  const metrics = async () => (await fetch(`http://127.0.0.1:${admin}/metrics`)).text()
  return { pid: program.pid, cache: join(data, 'cache'), metrics, page }
}

/** A kubeconfig for an API server that leads to it. */
async function connect(t: TestContext, cache: string): Promise<string> {
  const socket = join(cache, 'berth-pipe.sock')
  const api = await startExecApiServer({
    program: [join(alone, 'berth'), 'pipe', '--socket', socket],
  })
  t.after(api.close)
  const file = join(alone, 'kubeconfig')
  const text = stringify({
    clusters: [{ name: 'c', cluster: { server: api.url } }],
    users: [{ name: 'u', user: { token: 'user-token' } }],
    contexts: [{ name: 'here', context: { cluster: 'c', user: 'u', namespace: 'registry' } }],
    'current-context': 'here',
  })
  await writeFile(file, text)
  return file
}
