import assert from 'node:assert/strict'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { arch } from 'node:os'
import { join } from 'node:path'
import { before, suite, test } from 'node:test'
import { dockerImage, dockerItems } from '../support/archives.ts'
import { useDirectory } from '../support/directory.ts'
import { serveInstalled } from '../support/installed-berth.ts'
import { run, tool } from '../support/programs.ts'
import { tarFile } from '../support/tar-file.ts'
import { sumIn } from '../support/telemetry.ts'
import { until } from '../support/until.ts'

const directory = await useDirectory()
const alone = join(directory, 'alone')
const output = join(directory, 'output')
const project = new URL('../../', import.meta.url).pathname
const architecture = arch() === 'x64' ? 'amd64' : 'arm64'
const platform = `linux_${architecture}`
/** One that this machine cannot run, and its number in ELF headers. */
const [other, otherMachine] = architecture === 'amd64' ? ['linux_arm64', 183] : ['linux_amd64', 62]

/** Neither a program that it could start, nor a module that it could load, is where the executable is. */
const commandOf = (name: string) => [
  ...['env', '-i', 'PATH=/nonexistent', `HOME=${alone}`, join(alone, name)],
]
const execute = (name: string, ...args: readonly string[]) =>
  run([...commandOf(name), ...args], { directory: alone })

suite('an executable', () => {
  let archive: string

  before(async () => {
    const where = ['--output', output, '--url', 'https://example.test/b/']
    // npm may need more of it than its home: where certificates or a proxy are, for example.
    const environment = process.env as Readonly<Record<string, string>>
    await run(
      ['npm', 'run', '--silent', 'executables', '--', '--platform', platform, other, ...where],
      {
        directory: project,
        environment,
        patience: 600,
      },
    )
    const sums = await readFile(join(output, `berth_${await version()}_SHA256SUMS`), 'utf8')
    assert.equal(sums.trim().split('\n').length, 2)
    await run(['sha256sum', '--check', '--strict'], { directory: output, input: sums })
    archive = await archiveFor(platform)
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
    const berth = await serveInstalled(t, { commandOf, directory: alone })
    await writeFile(join(alone, 'app.tar'), tarFile(dockerItems([image])))
    const { asUser } = berth
    const pushed = await execute('kubectl-berth', 'push', 'app.tar', 'app:1', ...asUser)
    assert.match(pushed, /^image: localhost:30026\/local\/app:1$/m)
    assert.match(await execute('kubectl-berth', 'list', 'app', ...asUser), /^1$/m)
    await execute('kubectl-berth', 'pull', 'app:1', 'back.tar', ...asUser)
    assert.equal(await execute('berth', 'files', 'back.tar', '/etc/who'), 'berth\n')

    assert.match(await berth.page(), /<script type="module"/)
    const maps = await readFile(`/proc/${berth.pid}/maps`, 'utf8')
    assert.ok(/koffi\.node \(deleted\)/.test(maps), 'koffi is not loaded')
    await until('the thread of the index has read the volume', async () => {
      assert.equal(sumIn(await berth.metrics(), 'berth_index_complete'), 1)
      assert.equal(sumIn(await berth.metrics(), 'berth_index_failures_total'), 0)
    })
  })

  test('for another architecture is a program of that architecture, with the same content', async () => {
    const place = join(directory, 'other')
    await mkdir(place)
    await run(['tar', '-xzf', await archiveFor(other), '-C', place])
    const programs = [join(alone, 'kubectl-berth'), join(place, 'kubectl-berth')]
    const [own, foreign] = await Promise.all(programs.map((file) => readFile(file)))
    assert.ok(own !== undefined && foreign !== undefined)
    for (const bytes of [own, foreign]) {
      assert.equal(bytes.subarray(0, 6).toString('latin1'), '\x7fELF\x02\x01')
      assert.ok(bytes.includes('kubectl berth operator install'), 'Berth is not in it')
    }
    assert.notEqual(own.readUInt16LE(18), otherMachine)
    assert.equal(foreign.readUInt16LE(18), otherMachine)
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

async function archiveFor(name: string): Promise<string> {
  return join(output, `berth_${await version()}_${name}.tar.gz`)
}

async function version(): Promise<string> {
  return JSON.parse(await readFile(join(project, 'package.json'), 'utf8')).version
}
