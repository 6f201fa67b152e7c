import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { appendFile, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { dockerImage, dockerItems, layerOf } from '../support/archives.ts'
import { type Berth, eventually, removeBerth, startBerth } from '../support/berth.ts'
import { ownDisk, ownFileSystem } from '../support/mounts.ts'
import { droppedFiles, startSpool } from '../support/spool-process.ts'
import { tarFile } from '../support/tar-file.ts'

const mebibyte = 1024 * 1024
const access = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]
const config = { upstreams: [], auth: { access } }
let berth: Berth
/** Each test has repositories of its own. */
let id = 0

before(async () => {
  berth = await startBerth({ config })
})
after(() => removeBerth(berth))

async function drop(root: string, name: string, bytes: Buffer): Promise<void> {
  await mkdir(dirname(join(root, name)), { recursive: true })
  await writeFile(join(root, `${name}~`), bytes)
  await rename(join(root, `${name}~`), join(root, name))
}

/** Files for the spool of one test. */
function newNames(count: number): readonly string[] {
  id += 1
  return Array.from({ length: count }, (_, at) => `disk${id}/file${at}`)
}

async function isInRegistry(name: string): Promise<boolean> {
  const response = await fetch(`${berth.url}/v2/local/${name}/manifests/latest`)
  await response.arrayBuffer()
  return response.status === 200
}

/** Fails for a file that is neither in the spool, under whatever name, nor in the registry. */
async function assertNoneIsLost(root: string, names: readonly string[]): Promise<void> {
  const left = await droppedFiles(root)
  for (const name of names) {
    const isThere = left.includes(name) || left.some((path) => path.startsWith('.berth/removing/'))
    assert.ok(isThere || (await isInRegistry(name)), `${name} is lost: ${left}`)
  }
}

/** Writes until the file system takes no more, in steps down to a byte. */
async function fill(path: string): Promise<void> {
  for (const size of [mebibyte, 4096, 1]) {
    const bytes = Buffer.alloc(size, 'x')
    while (
      await appendFile(path, bytes).then(
        () => true,
        () => false,
      )
    );
  }
}

/** Creates files until the file system takes no more. */
async function fillInodes(directory: string): Promise<void> {
  await mkdir(directory)
  for (let at = 0, isFull = false; !isFull; at += 1)
    isFull = await writeFile(join(directory, String(at)), '').then(
      () => false,
      () => true,
    )
}

function spoolOn(t: TestContext, root: string) {
  const started = startSpool({ root, registry: new URL(berth.url).host })
  t.after(async () => (await started).kill())
  return started
}

async function readiness(health: string) {
  const response = await fetch(`${health}/ready`)
  return { status: response.status, body: await response.text() }
}

const disks: Readonly<Record<string, (t: TestContext) => Promise<string>>> = {
  tmpfs: (t) => ownFileSystem(t, 'size=16m'),
  ext4: async (t) => (await ownDisk(t, 32 * mebibyte)).directory,
}

for (const [kind, mount] of Object.entries(disks))
  test(`a spool on ${kind} that was full before the start is emptied (S155, S156)`, async (t) => {
    const disk = await mount(t)
    const root = join(disk, 'spool')
    for (const name of ['claims', 'tmp', 'removing'])
      await mkdir(join(root, '.berth', name), { recursive: true })
    const names = newNames(6)
    for (const name of names) await drop(root, name, randomBytes(mebibyte))
    await fill(join(disk, 'neighbour'))
    await assert.rejects(writeFile(join(root, 'x~'), 'x'), /ENOSPC/)
    await rm(join(root, 'x~'))
    const spool = await spoolOn(t, root)
    await eventually('it is empty', async () => (await droppedFiles(root)).length === 0)
    for (const name of names) {
      assert.ok(await isInRegistry(name), name)
      await eventually('it is recorded', async () => {
        const text = await readFile(join(root, 'done', `${name}.json`), 'utf8').catch(() => '{}')
        return JSON.parse(text).state === 'pushed'
      })
    }
    await eventually('it is ready', async () => (await readiness(spool.health)).status === 200)
  })

test('a spool without inodes is emptied (S156)', async (t) => {
  const disk = await ownFileSystem(t, 'size=16m,nr_inodes=60')
  const root = join(disk, 'spool')
  for (const name of ['claims', 'tmp', 'removing'])
    await mkdir(join(root, '.berth', name), { recursive: true })
  const names = newNames(6)
  for (const name of names) await drop(root, name, randomBytes(10_000))
  await fillInodes(join(disk, 'neighbour'))
  await spoolOn(t, root)
  await eventually('it is empty', async () => (await droppedFiles(root)).length === 0)
  for (const name of names) assert.ok(await isInRegistry(name), name)
})

test('a disk that fills up while the registry is down: files wait, /ready and the log say why, and all is pushed (S151, S156)', async (t) => {
  const disk = await ownFileSystem(t, 'size=12m')
  const root = join(disk, 'spool')
  await mkdir(root)
  const spool = await spoolOn(t, root)
  const listen = new URL(berth.url).host
  const names = newNames(5)
  await berth.stop()
  for (const name of names) await drop(root, name, randomBytes(mebibyte))
  await spool.wrote(/will retry/)
  const partial = join(root, 'partial.tar')
  const whole = tarFile(dockerItems([dockerImage('any:1', [layerOf('a', 4 * mebibyte)])]))
  await assert.rejects(writeFile(partial, whole), /ENOSPC/, 'the sender learns it')
  await fill(join(disk, 'neighbour'))
  await eventually('it is not ready', async () => {
    const { status, body } = await readiness(spool.health)
    return status === 503 && /ENOSPC/.test(body)
  })
  await spool.wrote(/ENOSPC.*the spool cannot be read or written/)
  await assertNoneIsLost(root, names)
  berth = await startBerth({ config: { ...config, listen }, directory: berth.directory })
  await eventually('all but the partial one are pushed', async () =>
    (await droppedFiles(root)).every((path) => path.endsWith('partial.tar')),
  )
  for (const name of names) assert.ok(await isInRegistry(name), name)
  await eventually('it is ready', async () => (await readiness(spool.health)).status === 200)
  await spool.wrote(/can be read and written again/)
  assert.ok((await stat(partial)).size > 0, 'an incomplete archive stays')
  for (const path of [partial, join(disk, 'neighbour')]) await rm(path)
  await drop(root, 'partial.tar', whole)
  await eventually('the whole one is pushed', () => isInRegistry('partial'))
})

test('what is rejected stays under its name while the disk is full, then it is in failed/ with its reason (S152, S156)', async (t) => {
  const disk = await ownFileSystem(t, 'size=4m')
  const root = join(disk, 'spool')
  await mkdir(root)
  const spool = await spoolOn(t, root)
  await fill(join(disk, 'neighbour'))
  // Inodes are there, blocks are not.
  await writeFile(join(root, 'NotAName'), '')
  await spool.wrote(/ENOSPC.*the spool cannot be read or written/)
  await eventually('it was tried', async () => (await readiness(spool.health)).status === 503)
  await eventually('it has its name', async () => (await droppedFiles(root)).includes('NotAName'))
  await rm(join(disk, 'neighbour'))
  await eventually('it is in failed/', async () =>
    (await droppedFiles(root)).includes('failed/NotAName'),
  )
  const record = await readFile(join(root, 'failed/NotAName.json'), 'utf8')
  assert.match(record, /is not a repository name/)
  await eventually('it is ready', async () => (await readiness(spool.health)).status === 200)
})
