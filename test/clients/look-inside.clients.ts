import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type BerthProcess, startBerthProcess } from '../support/berth-process.ts'
import { main } from '../support/command.ts'
import { run } from '../support/programs.ts'

const config = {
  upstreams: [],
  auth: { access: [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push'] }] },
}

type Listed = {
  readonly layers: readonly { readonly from: string; readonly mediaType: string }[]
  readonly files: readonly { readonly path: string; readonly size: number }[]
}

/** Files that do not compress. podman 4.3 cannot write much more than this as zstd:chunked (short write). */
async function makeTree(directory: string): Promise<Readonly<Record<string, Buffer>>> {
  const files: Record<string, Buffer> = {
    large: randomBytes(3_000_000),
    'small file': randomBytes(500),
  }
  for (let at = 0; at < 100; at += 1) files[`file-${at}`] = randomBytes(20_000)
  await mkdir(directory)
  for (const [name, content] of Object.entries(files))
    await writeFile(join(directory, name), content)
  return files
}

async function setUp(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'berth-test-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const berth = await startBerthProcess(config)
  t.after(() => berth.close())
  const files = await makeTree(join(directory, 'tree'))
  const environment = { HOME: directory }
  const command = (...words: readonly string[]) =>
    run([process.execPath, main, ...words], { environment })
  return { directory, berth, files, command }
}

async function bytesSent(berth: BerthProcess): Promise<number> {
  const requests = await berth.allRequests()
  return requests.reduce((sum, { bytes }) => sum + Number(bytes), 0)
}

type Scene = Awaited<ReturnType<typeof setUp>>

/** Listed and read by its table of contents, and the same as the whole layer. */
async function assertLazy(t: TestContext, scene: Scene, image: string): Promise<void> {
  const { berth, command, directory, files } = scene
  const before = await bytesSent(berth)
  const listed: Listed = JSON.parse(await command('files', image, '-o', 'json', '-R'))
  const moved = (await bytesSent(berth)) - before
  t.diagnostic(`${moved} bytes to list ${listed.files.length} files`)
  assert.deepEqual(
    listed.layers.map(({ from }) => from),
    ['contents'],
  )
  assert.ok(moved < 200_000, `${moved} bytes`)
  const sizes = Object.fromEntries(listed.files.map(({ path, size }) => [path, size]))
  for (const [name, content] of Object.entries(files))
    assert.equal(sizes[name], content.length, name)
  for (const name of ['large', 'file-7', 'small file']) {
    await command('files', image, name, join(directory, 'out'))
    assert.deepEqual(await readFile(join(directory, 'out')), files[name])
  }
  const read = (await bytesSent(berth)) - before
  assert.ok(read < 3_600_000, `${read} bytes for three files`)
  // The same bytes, read as a whole layer.
  const whole = join(directory, 'whole')
  await command('pull', '--unpack', image, `${whole}/`)
  for (const [name, content] of Object.entries(files))
    assert.deepEqual(await readFile(join(whole, name)), content, name)
}

test('files of a zstd:chunked image of podman are listed and read by ranges', async (t) => {
  const scene = await setUp(t)
  const { directory, berth } = scene
  const tar = join(directory, 'tree.tar')
  await run(['tar', '-cf', tar, '-C', join(directory, 'tree'), '.'])
  const environment = { HOME: directory, XDG_RUNTIME_DIR: directory, CONTAINERS_CONF: '/dev/null' }
  const storage = ['--storage-driver', 'vfs', '--root', join(directory, 'root')]
  const podman = (...words: readonly string[]) =>
    run(['podman', ...storage, '--runroot', join(directory, 'run'), ...words], { environment })
  const image = `${berth.host}/local/chunked:1`
  await podman('import', '-q', tar, 'localhost/chunked:1')
  const format = ['--compression-format', 'zstd:chunked', '--tls-verify=false']
  await podman('push', '-q', ...format, 'localhost/chunked:1', `docker://${image}`)
  await assertLazy(t, scene, image)
})
