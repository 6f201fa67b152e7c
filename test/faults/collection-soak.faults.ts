import assert from 'node:assert/strict'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Child, startChild } from '../support/child.ts'
import { collectSteps } from '../support/collect-steps.ts'
import { temporaryFiles } from '../support/disk.ts'
import { createHostedClients } from '../support/hosted-clients.ts'
import { makeImage, randomBlob } from '../support/images.ts'
import { createPushClient } from '../support/push-client.ts'
import { createRandom } from '../support/random.ts'
import { until } from '../support/until.ts'

const mebibyte = 1024 * 1024
const collector = new URL('../support/collect-garbage.ts', import.meta.url).pathname
/** Ten minutes: SOAK_SECONDS=600. */
const seconds = Number(process.env['SOAK_SECONDS'] ?? 20)
const grace = 2000
/** From when on a rule deletes a tag, in milliseconds. */
const maxAge = 3000

const config = {
  upstreams: [],
  auth: {
    access: [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }],
  },
  log: { level: 'warn' },
  storage: { hosted: { uploadExpiry: '3s' } },
  collection: { interval: '1s', grace: `${grace}ms`, trash: '3s', minimumFree: 0 },
  retention: {
    interval: '1s',
    rules: [{ name: 'pr', action: 'delete', tags: ['pr-*'], olderThan: `${maxAge}ms` }],
  },
}

function start(directory?: string): Promise<Child> {
  return startChild({
    ...(directory !== undefined && { directory }),
    config,
    environment: { UV_THREADPOOL_SIZE: '4', NODE_OPTIONS: `--import=${collector}` },
  })
}

/** `berth`: the one that runs at the end. */
function removeAfter(t: TestContext, berth: () => Child): void {
  t.after(async () => {
    await berth().kill('SIGKILL')
    await rm(berth().directory, { recursive: true, force: true })
  })
}

function rootOf({ directory }: Child): string {
  return join(directory, 'data', 'hosted')
}

/** Images that stay, so that what comes and goes is less than a fifth. */
async function pushBase(berth: Child): Promise<void> {
  const client = createPushClient(berth.url)
  for (let at = 0; at < 100; at += 1) {
    const layers = Array.from({ length: 4 }, () => randomBlob(40_000))
    await client.push('local/base', makeImage({ layers }), `v${at}`)
  }
}

/** Digests of all blobs, sorted. */
async function blobsOf(root: string): Promise<readonly string[]> {
  const names = await readdir(join(root, 'docker/registry/v2/blobs'), { recursive: true })
  return names.filter((name) => name.endsWith('/data')).toSorted()
}

async function entriesOf(directory: string): Promise<readonly string[]> {
  return readdir(directory).catch(() => [])
}

/** Directories of upload sessions. */
async function sessionsOf(root: string): Promise<readonly string[]> {
  const names = await readdir(join(root, 'docker/registry/v2/repositories'), { recursive: true })
  return names.filter((name) => /_uploads\/[^/]+$/.test(name))
}

test(`nothing is lost in ${seconds} seconds of pushes, pulls and deletions with a collection each second, and all is where it began (INV-14, INV-15, INV-20)`, async (t) => {
  const berth = await start()
  removeAfter(t, () => berth)
  const root = rootOf(berth)
  await pushBase(berth)
  const random = createRandom(t)
  const clients = createHostedClients({ url: () => berth.url, grace, maxAge, random })
  await clients.run(5000)
  await clients.deleteAll()
  await drained(berth, root)
  const before = { files: (await berth.openFiles()).length, blobs: await blobsOf(root) }

  const memory: number[] = []
  const end = performance.now() + seconds * 1000
  const sampling = (async () => {
    while (performance.now() < end) {
      memory.push((await berth.metric('nodejs_heap_size_used_bytes')) / mebibyte)
      await collectSteps(root)
      await sleep(1000)
    }
  })()
  await Promise.all([clients.run(seconds * 1000), sampling])
  t.diagnostic(JSON.stringify(clients.counts()))
  const metric = async (name: string) => berth.metric(name)
  t.diagnostic(
    `removed: ${await metric('berth_collection_removed_total{what="blob"}')} blobs, ${await metric('berth_collection_removed_total{what="tag"}')} tags; freed ${await metric('berth_trash_freed_bytes_total')} bytes`,
  )
  assert.ok((await metric('berth_collection_removed_total{what="blob"}')) > seconds)
  assert.ok((await metric('berth_trash_freed_bytes_total')) > 0)
  assert.equal(await metric('berth_collection_runs_total{what="collection",outcome="failed"}'), 0)
  await clients.pullAll()

  await clients.deleteAll()
  await drained(berth, root)
  assert.deepEqual(await blobsOf(root), before.blobs)
  await until('descriptors are as many as before', async () => {
    const files = (await berth.openFiles()).length
    assert.ok(files <= before.files + 2, `${before.files} became ${files}`)
  })
  const [early, late] = [least(memory.slice(0, 20)), least(memory.slice(-20))]
  t.diagnostic(`${before.files} descriptors; MiB in use at first ${early}, at last ${late}`)
  assert.ok(late <= early + 16, `${early} MiB became ${late}`)
})

test('a registry that is killed in the middle of collections loses nothing (H132)', async (t) => {
  let berth = await start()
  removeAfter(t, () => berth)
  await pushBase(berth)
  const random = createRandom(t)
  const clients = createHostedClients({ url: () => berth.url, grace, maxAge, random })
  let removed = 0
  for (let at = 0; at < 6; at += 1) {
    const running = clients.run(grace + 3000 + random.integer(1500))
    await sleep(grace + 2500 + random.integer(1500))
    removed += await berth.metric('berth_collection_removed_total{what="blob"}')
    clients.expectFailures(true)
    await berth.kill('SIGKILL')
    await running
    berth = await start(berth.directory)
    clients.expectFailures(false)
    await clients.pullAll()
  }
  t.diagnostic(`${removed} blobs were removed meanwhile; ${JSON.stringify(clients.counts())}`)
  assert.ok(removed > 0)
})

/** Until everything that is not needed is gone from blobs, trash, sessions and temporary files. */
async function drained(berth: Child, root: string): Promise<void> {
  await until('nothing is left to collect', async () => {
    const steps = await collectSteps(root)
    const full = steps.find(({ step }) => step === 'full')
    assert.deepEqual({ ...full, blobs: 0, referenced: 0 }, noneLeft)
    assert.equal(full?.['blobs'], full?.['referenced'], JSON.stringify(steps.at(-1)))
    assert.deepEqual(await entriesOf(join(root, '_trash')), [])
    assert.deepEqual(await temporaryFiles(root), [])
    assert.deepEqual(await sessionsOf(root), [])
    assert.equal(await berth.metric('berth_trash_bytes'), 0)
  })
}

const noneLeft = { step: 'full', blobs: 0, referenced: 0, missed: 0, absent: 0 }

function least(samples: readonly number[]): number {
  return Math.round(Math.min(...samples))
}
