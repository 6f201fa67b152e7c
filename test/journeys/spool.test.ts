import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { appendFile, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { dockerImage, dockerItems, layerOf } from '../support/archives.ts'
import { type Berth, eventually, removeBerth, startBerth } from '../support/berth.ts'
import { main } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'
import { attempt } from '../support/programs.ts'
import { droppedFiles, startSpool } from '../support/spool-process.ts'
import { tarFile } from '../support/tar-file.ts'

const password = `canary-${randomBytes(12).toString('hex')}`

async function startScene(t: TestContext, environment: Readonly<Record<string, string>> = {}) {
  const files = await ownDirectory(t)
  const htpasswd = join(files, 'htpasswd')
  const passwordFile = join(files, 'password')
  await writeFile(htpasswd, `spool:${await hashPassword(password, 4)}\n`)
  await writeFile(passwordFile, `${password}\n`)
  const actions = ['pull', 'push', 'delete']
  const access = [{ users: ['spool'], repositories: ['local/open/**'], actions }]
  const config = { upstreams: [], auth: { htpasswd, access } }
  let berth = await startBerth({ config })
  const root = join(files, 'spool')
  await mkdir(root)
  const login = ['--username', 'spool', '--password-file', passwordFile]
  const registry = new URL(berth.url).host
  const args = environment['REGISTRY_SPOOLER_PASSWORD'] === undefined ? login : []
  const spool = await startSpool({ root, registry, args, environment })
  t.after(async () => {
    await spool.kill()
    await removeBerth(berth)
  })
  /** On the same port, as a registry behind a Service has one address. */
  const outage = async (during: () => Promise<void>): Promise<void> => {
    await berth.stop()
    await during()
    berth = await startBerth({
      config: { ...config, listen: registry },
      directory: berth.directory,
    })
  }
  return { root, spool, registry, login, berth: () => berth, outage }
}

type Scene = Awaited<ReturnType<typeof startScene>>

async function drop(root: string, name: string, bytes: Buffer): Promise<void> {
  await mkdir(join(root, name, '..'), { recursive: true })
  await writeFile(join(root, `${name}~`), bytes)
  await rename(join(root, `${name}~`), join(root, name))
}

function berthCommand({ root }: Pick<Scene, 'root'>, ...words: readonly string[]) {
  return attempt([process.execPath, main, ...words], { environment: { HOME: root } })
}

async function pulled({ url }: Berth, path: string) {
  const authorization = `Basic ${Buffer.from(`spool:${password}`).toString('base64')}`
  return fetch(`${url}/v2/${path}`, { headers: { authorization } })
}

test('a dropped archive can be pulled, its sender sees the result, and registry-pull brings it back', async (t) => {
  const scene = await startScene(t)
  const image = dockerImage('any:name', [layerOf('a'), layerOf('b')])
  await drop(scene.root, 'open/app:1.2.tar', tarFile(dockerItems([image])))
  const waited = await berthCommand(
    scene,
    ...['spool', 'wait', '-d', scene.root, 'open/app:1.2.tar', '--timeout', '60'],
  )
  assert.equal(waited.status, 0, waited.output)
  const [, digest] = /^pushed \S+\/local\/open\/app:1\.2@(sha256:\S+)$/m.exec(waited.output) ?? []
  const response = await pulled(scene.berth(), 'local/open/app/manifests/1.2')
  assert.equal(response.headers.get('docker-content-digest'), digest)
  const { config } = (await response.json()) as { config: { digest: string } }
  assert.equal(config.digest, digestOf(image.config))

  const file = join(scene.root, '.berth', 'back.tar')
  const back = await berthCommand(
    scene,
    ...['pull', '--registry', scene.registry, ...scene.login, 'local/open/app:1.2', file],
  )
  assert.equal(back.status, 0, back.output)
  const directory = join(scene.root, '.berth', 'unpacked')
  const unpack = ['pull', '--unpack', '-r', scene.registry, ...scene.login, 'local/open/app:1.2']
  const whole = await berthCommand(scene, ...unpack, directory)
  assert.match(whole.output, /name a directory, with \/ at its end/)
  const unpacked = await berthCommand(scene, ...unpack, `${directory}/`)
  assert.equal(unpacked.status, 0, unpacked.output)
  assert.deepEqual((await readdir(directory)).sort(), ['a', 'b'])

  await rename(file, join(scene.root, 'open/again.tar'))
  const again = await berthCommand(scene, 'spool', 'wait', '-d', scene.root, 'open/again.tar')
  assert.match(again.output, new RegExp(`${digest}$`, 'm'))
})

const spoolStatus = (scene: Awaited<ReturnType<typeof startScene>>) => {
  const { port } = new URL(scene.spool.health)
  const words = ['status', '-d', scene.root, '--health-port', port, '-o', 'json']
  return berthCommand(scene, 'spool', ...words)
}

test('what the registry refuses is in failed/ with its reason, and the sender gets a failure (S152, S160)', async (t) => {
  const scene = await startScene(t)
  await drop(scene.root, 'closed/app.tar', tarFile(dockerItems([dockerImage('a:1')])))
  await drop(scene.root, 'open/text.tar', tarFile([{ name: 'a', content: 'b' }]))
  const denied = await berthCommand(scene, 'spool', 'wait', '-d', scene.root, 'closed/app.tar')
  assert.equal(denied.status, 1)
  assert.match(denied.output, /closed\/app\.tar failed: .* 403: user spool may not push/)
  const invalid = await berthCommand(scene, 'spool', 'wait', '-d', scene.root, 'open/text.tar')
  assert.match(invalid.output, /neither manifest\.json .* nor index\.json/)
  assert.deepEqual((await droppedFiles(scene.root)).toSorted(), [
    'failed/closed/app.tar',
    'failed/open/text.tar',
  ])
  const { status, stdout } = await spoolStatus(scene)
  assert.equal(status, 0)
  const { files, oldest, failed, failures } = JSON.parse(stdout)
  assert.deepEqual([files, oldest, failed], [0, undefined, 2])
  const reasons = Object.fromEntries(
    failures.map(({ file, reason }: Readonly<Record<string, string>>) => [file, reason]),
  )
  assert.deepEqual(Object.keys(reasons).toSorted(), ['closed/app.tar', 'open/text.tar'])
  assert.match(reasons['closed/app.tar'], /403: user spool may not push/)
})

test('while the registry is down files wait, and /ready says why; then all are pushed (S151)', async (t) => {
  const scene = await startScene(t)
  const ready = async () => (await fetch(`${scene.spool.health}/ready`)).status
  await eventually('it is ready', async () => (await ready()) === 200)
  const contents = Array.from({ length: 5 }, () => randomBytes(1000))
  await scene.outage(async () => {
    for (const [at, bytes] of contents.entries()) await drop(scene.root, `open/file${at}`, bytes)
    await eventually('it was tried', () => scene.spool.output().includes('will retry'))
    assert.equal((await droppedFiles(scene.root)).length, 5)
    assert.equal((await fetch(`${scene.spool.health}/live`)).status, 200)
    const { files, size, oldest, failed } = JSON.parse((await spoolStatus(scene)).stdout)
    assert.deepEqual([files, size, failed], [5, 5000, 0])
    assert.match(oldest.file, /^open\/file\d$/)
  })
  for (const [at, bytes] of contents.entries()) {
    const name = `open/file${at}`
    const waited = await berthCommand(scene, 'spool', 'wait', '-d', scene.root, name)
    assert.equal(waited.status, 0, waited.output)
    const file = join(scene.root, '.berth', name.replace('/', '-'))
    await berthCommand(
      scene,
      ...['pull', '--unpack', '-r', scene.registry, ...scene.login, `local/${name}`, file],
    )
    assert.deepEqual(await readFile(file), bytes)
  }
  await eventually('it is ready again', async () => (await ready()) === 200)
})

test('a file that is written in place and slowly is pushed as a whole (S139)', async (t) => {
  const scene = await startScene(t)
  const bytes = tarFile(dockerItems([dockerImage('a:1')]))
  const path = join(scene.root, 'open/slow.tar')
  await mkdir(join(scene.root, 'open'))
  for (let at = 0; at < bytes.length; at += 100_000) {
    await appendFile(path, bytes.subarray(at, at + 100_000))
    await new Promise((resolve) => setTimeout(resolve, 1200))
  }
  const waited = await berthCommand(scene, 'spool', 'wait', '-d', scene.root, 'open/slow.tar')
  assert.equal(waited.status, 0, waited.output)
  assert.deepEqual(await droppedFiles(scene.root), [])
})

test('it stops with status 0, and the password is nowhere (S158, S159)', async (t) => {
  const scene = await startScene(t, {
    REGISTRY_SPOOLER_USERNAME: 'spool',
    REGISTRY_SPOOLER_PASSWORD: password,
  })
  await drop(scene.root, 'closed/app', Buffer.from('x'))
  await drop(scene.root, 'open/app', Buffer.from('x'))
  const metricsOf = async () => (await fetch(`${scene.spool.health}/metrics`)).text()
  const handled = [
    /^berth_spool_files_total\{result="pushed"\} 1$/m,
    /^berth_spool_failed_files 1$/m,
  ]
  await eventually('one is pushed, and one has failed', async () => {
    const text = await metricsOf()
    return handled.every((line) => line.test(text))
  })
  const metrics = await metricsOf()
  const title = await readFile(`/proc/${scene.spool.pid}/cmdline`, 'utf8')
  const record = await readFile(join(scene.root, 'failed/closed/app.json'), 'utf8')
  process.kill(scene.spool.pid, 'SIGTERM')
  await eventually('it has ended', () => scene.spool.state() !== 'it runs')
  assert.equal(scene.spool.state(), 'it ended with 0', scene.spool.output())
  for (const text of [title, record, metrics, scene.spool.output()])
    assert.ok(!text.includes(password))
})
