import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { dockerImage, dockerItems, layerOf } from '../support/archives.ts'
import { type Berth, eventually, removeBerth, startBerth } from '../support/berth.ts'
import { ownDirectory } from '../support/directory.ts'
import { droppedFiles, startSpool } from '../support/spool-process.ts'
import { inject } from '../support/strace.ts'
import { tarFile } from '../support/tar-file.ts'

/** Rounds that run at the same time: most of each is waiting for a process to start. */
const lanes = 3
const everything = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]
/** One thread makes all calls for files, so that strace(1) can count them. */
const environment = { UV_THREADPOOL_SIZE: '1' }

let berth: Berth

before(async () => {
  berth = await startBerth({ config: { upstreams: [], auth: { access: everything } } })
})
after(() => removeBerth(berth))

type Dropped = { readonly name: string; readonly bytes: Buffer }

/** An archive, a file, and one that is rejected. */
function filesOf(id: string): readonly Dropped[] {
  const archive = tarFile(dockerItems([dockerImage('any:1', [layerOf(id, 20_000)])]))
  return [
    { name: `app-${id}:1.tar`, bytes: archive },
    { name: `file-${id}`, bytes: randomBytes(10_000) },
    { name: `text-${id}.tar`, bytes: tarFile([{ name: 'a', content: id }]) },
  ]
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function isInRegistry({ name }: Dropped): Promise<boolean> {
  const [repository = '', tag = 'latest'] = name.replace(/\.tar$/, '').split(':')
  const response = await fetch(`${berth.url}/v2/local/${repository}/manifests/${tag}`)
  await response.arrayBuffer()
  return response.status === 200
}

/** Kills the spooler before one of its calls. Returns whether it came to that call. */
async function killAt(t: TestContext, call: string, at: number): Promise<boolean> {
  const root = await ownDirectory(t)
  const registry = new URL(berth.url).host
  const files = filesOf(`${call}-${at}`.toLowerCase())
  const spool = await startSpool({ root, registry, environment })
  const fault = await inject(spool, 'files', `${call}:signal=SIGKILL:when=${at}`)
  for (const { name, bytes } of files) {
    await writeFile(join(root, `${name}~`), bytes)
    await rename(join(root, `${name}~`), join(root, name))
  }
  const seemsOver = async () => {
    const left = await droppedFiles(root).catch(() => ['changing'])
    return left.every((path) => path.startsWith('failed/')) && left.length > 0
  }
  // A file that gets its name back while the directories are listed may be in none of them, but not twice.
  const isOver = async () => (await seemsOver()) && (await seemsOver())
  await eventually(
    'it was killed, or is ready',
    async () => spool.state() !== 'it runs' || (await isOver()),
  )
  await fault.withdraw()
  const wasKilled = spool.state() !== 'it runs'
  await spool.kill()

  const where = `after a kill at ${call} ${at}`
  const kept = new Set<string>()
  for (const path of await droppedFiles(root)) kept.add(hashOf(await readFile(join(root, path))))
  for (const file of files)
    assert.ok(
      kept.has(hashOf(file.bytes)) || (await isInRegistry(file)),
      `${file.name} is in the spool or in the registry ${where}`,
    )
  const next = await startSpool({ root, registry, environment })
  await eventually(`the next one is ready ${where}`, isOver)
  await next.kill()
  const [archive, file] = files
  for (const pushed of [archive, file])
    assert.ok(pushed && (await isInRegistry(pushed)), `${pushed?.name} is pushed ${where}`)
  assert.deepEqual(
    (await droppedFiles(root)).map((path) => path.replace(/\.\d+$/, '')),
    [`failed/${files[2]?.name}`],
    where,
  )
  return wasKilled
}

/** Most opens are of directories and change nothing: a kill at one is a kill at those around it. */
const steps = { openat: 4, rename: 1, unlink: 1, fsync: 1, mkdir: 1, link: 1 } as const

for (const [call, step] of Object.entries(steps))
  test(`killed at each ${call}${step === 1 ? '' : ` of ${step}`}, each file is still in the spool, or in the registry, or in failed/ (S154)`, {
    timeout: 600_000,
  }, async (t) => {
    let [next, kills, isOver] = [1, 0, false]
    const lane = async () => {
      while (!isOver) {
        const at = next
        next += step
        const wasKilled = await killAt(t, call, at).catch((error: unknown) => {
          isOver = true
          throw error
        })
        if (wasKilled) kills += 1
        else isOver = true
      }
    }
    await Promise.all(Array.from({ length: lanes }, lane))
    t.diagnostic(`kills: ${kills}`)
    assert.ok(kills >= 1)
  })
