import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { callControl } from '../../src/control/control.ts'
import type { ObjectStore } from '../../src/store/store.ts'
import { type Bucket, bucketServers } from '../support/bucket-servers.ts'
import { bucketStore } from '../support/bucket-store.ts'
import { type Child, ownAddress, startChild } from '../support/child.ts'
import { collectSteps } from '../support/collect-steps.ts'
import { compileCache } from '../support/compile-cache.ts'
import { createHostedClients } from '../support/hosted-clients.ts'
import { makeImage, randomBlob } from '../support/images.ts'
import { run } from '../support/programs.ts'
import { pullImage } from '../support/pull.ts'
import { createPushClient } from '../support/push-client.ts'
import { createRandom } from '../support/random.ts'
import { until } from '../support/until.ts'

/** Ten minutes: SOAK_SECONDS=600. Each round has one kill, and takes up to eight seconds. */
const seconds = Number(process.env['SOAK_SECONDS'] ?? 4)
/** SeaweedFS takes its time: it is for long runs. */
const servers = bucketServers.filter(({ name }) => seconds >= 60 || name !== 'SeaweedFS')
const prefix = 'soak'
/** By which the bucket is recognized. */
const mark = `${prefix}/_berth/volume`
/** Milliseconds. */
const grace = 3000
const maxAge = 6000
const timeout = seconds * 1000 + 600_000
const main = new URL('../../src/main.ts', import.meta.url).pathname

const config = {
  upstreams: [],
  auth: {
    access: [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }],
  },
  log: { level: 'warn' },
  collection: { interval: '1s', grace: `${grace}ms`, trash: '10s' },
  retention: {
    interval: '1s',
    rules: [{ name: 'pr', action: 'delete', tags: ['pr-*'], olderThan: `${maxAge}ms` }],
  },
}

/** Two Berths on one bucket. The second one redirects clients to it. */
async function startReplicas(t: TestContext, bucket: Bucket) {
  const addresses = [ownAddress(), ownAddress()]
  const start = (at: number, directory?: string): Promise<Child> =>
    startChild({
      address: addresses[at] ?? '',
      ...(directory !== undefined && { directory }),
      config: {
        ...config,
        storage: {
          hosted: {
            bucket: { ...bucket.configAt(bucket.url), prefix },
            uploadExpiry: '3s',
            redirects: { enabled: at === 1, minSize: '10KiB' },
          },
        },
      },
      environment: { ...bucket.keys, ...compileCache, UV_THREADPOOL_SIZE: '4' },
    })
  const berths: Child[] = []
  const get = (at: number): Child => berths[at] ?? assert.fail()
  t.after(async () => {
    for (const berth of berths) {
      await berth.kill('SIGKILL')
      await rm(berth.directory, { recursive: true, force: true })
    }
  })
  for (const at of addresses.keys()) berths.push(await start(at))
  return {
    get,
    kill: (at: number) => get(at).kill('SIGKILL'),
    restart: async (at: number) => {
      await get(at).kill('SIGKILL')
      berths[at] = await start(at, get(at).directory)
    },
  }
}

function rootOf({ directory }: Child): string {
  return join(directory, 'data', 'hosted')
}

async function undoTag(berth: Child, name: string, tag: string): Promise<boolean> {
  const answers: unknown[] = []
  for await (const line of callControl({
    root: rootOf(berth),
    action: 'undo-tag',
    body: { name, tag },
  }))
    answers.push(Object(line).data?.kind)
  return answers.includes('undone')
}

for (const server of servers)
  test(`two replicas on a bucket of ${server.name}, which are killed and collect all the time, lose nothing in ${seconds} seconds of pushes, pulls, deletions and undo, and leave nothing`, {
    timeout,
  }, async (t) => {
    const bucket = await server.startBucket()
    t.after(bucket.close)
    const replicas = await startReplicas(t, bucket)
    const objects = await bucket.open()
    t.after(objects.close)
    const random = createRandom(t)
    const inUse = (...args: readonly string[]) =>
      run(
        [
          ...[process.execPath, main, 'in-use', ...args],
          ...['--config', join(replicas.get(0).directory, 'berth.yaml')],
        ],
        {
          environment: { ...bucket.keys, HOME: '/nonexistent' },
          input: 'localhost/local/used:pr-1',
        },
      )
    await inUse('put', 'edge')
    for (const at of [0, 1])
      await until('what is in use is known', async () =>
        assert.equal(await replicas.get(at).metric('berth_in_use_images'), 1),
      )
    const used = makeImage({ layers: [randomBlob(5000)] })
    await createPushClient(replicas.get(0).url).push('local/used', used, 'pr-1')

    const clients = createHostedClients({
      url: () => replicas.get(random.integer(2)).url,
      ...{ grace, maxAge, random, isShared: true },
      undo: (name, tag) => undoTag(replicas.get(random.integer(2)), name, tag),
    })
    let removed = 0
    for (const end = performance.now() + seconds * 1000; performance.now() < end; ) {
      const running = clients.run(4000 + random.integer(4000))
      await sleep(2000 + random.integer(4000))
      const at = random.integer(2)
      removed += await replicas.get(at).metric('berth_collection_removed_total{what="blob"}')
      clients.expectFailures(true)
      await replicas.restart(at)
      await running
      clients.expectFailures(false)
      await clients.pullAll()
    }
    t.diagnostic(`${removed} blobs were removed meanwhile; ${JSON.stringify(clients.counts())}`)
    for (const at of [0, 1]) await pullImage(replicas.get(at), 'local/used', used, 'pr-1')

    await inUse('remove', 'edge')
    await clients.deleteAll()
    await replicas.kill(0)
    const last = replicas.get(1)
    const { send } = createPushClient(last.url)
    await until('the image is not in use any more', async () => {
      const { status } = await send('DELETE', `local/used/manifests/${used.digest}`)
      assert.ok([202, 404].includes(status), `${status}`)
    })
    let deleting: readonly string[] = []
    await until(
      'only what a killed process was deleting is left',
      async () => {
        await collectSteps(rootOf(last))
        deleting = await digestsBeingDeleted(objects)
        const isOther = (key: string) => !deleting.some((hex) => key.includes(hex))
        assert.deepEqual((await keysBelow(objects, `${prefix}/`)).filter(isOther), [mark])
      },
      300,
    )
    t.diagnostic(`a killed process was deleting ${deleting.length} blobs`)
    await deleteAbandoned(t, objects)
    assert.deepEqual(await keysBelow(objects, `${prefix}/`), [mark])
  })

async function keysBelow(objects: ObjectStore, path: string): Promise<readonly string[]> {
  const keys: string[] = []
  for await (const page of objects.list(path)) keys.push(...page.objects.map(({ key }) => key))
  return keys
}

/** Hexadecimal, without the algorithm. */
async function digestsBeingDeleted(objects: ObjectStore): Promise<readonly string[]> {
  const found: string[] = []
  for (const key of await keysBelow(objects, `${prefix}/_trash/marks/`)) {
    const text = (await objects.read(key))?.bytes.toString()
    if (text && JSON.parse(text).isDeleting) found.push(basename(key))
  }
  return found
}

/** As another process does, ten minutes after it has seen that for the first time. */
async function deleteAbandoned(t: TestContext, objects: ObjectStore): Promise<void> {
  let now = 0
  const { store } = await bucketStore(t, objects, prefix, () => now)
  await store.trash.free({ before: Number.POSITIVE_INFINITY })
  now += 3_600_000
  await store.trash.free({ before: Number.POSITIVE_INFINITY })
}
