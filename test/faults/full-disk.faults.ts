import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createBudget } from '../../src/store/cache/budget.ts'
import {
  type Berth,
  checkInvariants,
  eventually,
  removeBerth,
  startBerth,
} from '../support/berth.ts'
import { type Child, startChild } from '../support/child.ts'
import { get } from '../support/client.ts'
import { temporaryFiles } from '../support/disk.ts'
import { type Blob, makeImage, randomBlob } from '../support/images.ts'
import { fillDisk, freeBytes, ownDisk, ownFileSystem } from '../support/mounts.ts'
import { getBlob, pullBlob, pullImage } from '../support/pull.ts'
import {
  answerInTwo,
  type ScriptedUpstream,
  startScriptedUpstream,
} from '../support/scripted-upstream.ts'
import { inject } from '../support/strace.ts'

const mebibyte = 1024 * 1024
/** How long Berth leaves a disk alone that failed, and a little more. */
const pause = 5200

let upstream: ScriptedUpstream
let child: Child | undefined
let berth: Berth | undefined

before(async () => {
  upstream = await startScriptedUpstream()
})
after(() => upstream.close())
beforeEach(() => {
  upstream.behave()
  child = undefined
  berth = undefined
})
afterEach(async () => {
  await child?.kill('SIGTERM')
  if (child !== undefined)
    berth = await startBerth({ config: config({}), directory: child.directory })
  if (berth === undefined) return
  await checkInvariants(berth)
  await removeBerth(berth)
})

function config(cache: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return {
    upstreams: [{ url: upstream.url }],
    storage: { cache: { minimumFree: 0, scrubRate: 0, ...cache } },
  }
}

function newBlob(size = 2 * mebibyte): Blob {
  const blob = randomBlob(size)
  upstream.putBlob('p/r', blob)
  return blob
}

async function startWarm(): Promise<{ readonly running: Child; readonly warm: Blob }> {
  const running = await startChild({ config: config({}) })
  child = running
  const warm = newBlob()
  await pullBlob(running, 'p/r', warm)
  assert.equal(await pullBlob(running, 'p/r', warm), 'hit')
  return { running, warm }
}

const writes = 'pwrite64,pwritev,pwritev2'

for (const first of [1, 2, 3, 5]) {
  test(`a disk that is full from write ${first} on costs the cache, not the pull (C61)`, async () => {
    const { running } = await startWarm()
    const fault = await inject(running, 'files', `${writes}:error=ENOSPC:when=${first}+`)
    const cold = newBlob(8 * mebibyte)
    await Promise.all([1, 2, 3].map(() => pullBlob(running, 'p/r', cold)))
    await fault.withdraw()
    assert.deepEqual(await temporaryFiles(running.cache), [])
    assert.ok((await running.metric('berth_cache_storage_failures_total')) >= 1)
    await eventually(
      'room is made',
      async () => (await running.metric('berth_cache_evictions_total')) === 1,
    )
    assert.equal((await get(`${running.admin}/readyz`)).status, 200)
    assert.equal(await pullBlob(running, 'p/r', cold), 'bypass')
    await sleep(pause)
    assert.equal(await pullBlob(running, 'p/r', cold), 'miss')
    assert.equal(await pullBlob(running, 'p/r', cold), 'hit')
  })
}

test('a disk that is full for one write in the last stretch leaves no gap (C61)', async () => {
  const { running } = await startWarm()
  const cold = newBlob()
  const gate = Promise.withResolvers<void>()
  upstream.on(cold.digest, answerInTwo(cold.bytes, cold.bytes.length - 1000, gate.promise), 1)
  const pulls = [1, 2, 3].map(() => pullBlob(running, 'p/r', cold))
  await eventually('the rest is written', async () => {
    const counted = await running.metric(
      'berth_cache_bytes_total{upstream="'.concat(
        new URL(upstream.url).host,
        '",kind="blob",source="upstream"}',
      ),
    )
    return counted === 2 * cold.bytes.length - 1000
  })
  await sleep(200)
  const fault = await inject(running, 'files', `${writes}:error=ENOSPC`)
  gate.resolve()
  await Promise.all(pulls)
  await fault.withdraw()
  assert.equal(await running.metric('berth_cache_storage_failures_total'), 1)
  assert.deepEqual(await temporaryFiles(running.cache), [])
})

test('a full disk under a blob of unknown size is an error, and not half a blob (C61)', async () => {
  const { running } = await startWarm()
  const cold = newBlob()
  upstream.on(cold.digest, async ({ head, write, end }) => {
    head(200, { connection: 'close' })
    await write(cold.bytes)
    end()
  })
  const fault = await inject(running, 'files', `${writes}:error=ENOSPC:when=2+`)
  const reply = await getBlob(running, 'p/r', cold)
  await fault.withdraw()
  assert.ok(reply.status >= 500, `${reply.status}`)
  assert.deepEqual(await temporaryFiles(running.cache), [])
})

for (const [call, what] of [
  ['openat', 'made a file'],
  ['mkdir', 'made a directory'],
  ['rename', 'given a file its name'],
  ['fchmod', 'made a file read-only'],
] as const) {
  test(`a disk on which cannot be ${what} costs the cache, not the pulls (C62)`, async () => {
    const { running } = await startWarm()
    const image = makeImage()
    upstream.put('p/i', 'v1', image)
    // Opening to read goes on: only what makes a file takes room.
    const when = call === 'openat' ? 'when=2+2' : 'when=1+'
    const fault = await inject(running, 'files', `${call}:error=ENOSPC:${when}`)
    await pullImage(running, 'p/i', image, 'v1')
    const cold = newBlob()
    await Promise.all([1, 2, 3].map(() => pullBlob(running, 'p/r', cold)))
    await fault.withdraw()
    assert.deepEqual(await temporaryFiles(running.cache), [])
    assert.ok((await running.metric('berth_cache_storage_failures_total')) >= 1)
    await pullImage(running, 'p/i', image, 'v1')
    await pullBlob(running, 'p/r', cold)
  })
}

async function startOn(t: TestContext, options: string, cache: Readonly<Record<string, unknown>>) {
  const directory = await ownFileSystem(t, options)
  const started = await startBerth({ config: config({ directory, ...cache }) })
  berth = started
  return { started, directory }
}

/** Pulls many blobs, some at the same time. */
async function pullMany(from: Berth, count: number, size: number): Promise<void> {
  const blobs = Array.from({ length: count }, () => newBlob(size))
  const client = async () => {
    for (let next = blobs.shift(); next !== undefined; next = blobs.shift())
      await pullBlob(from, 'p/r', next)
  }
  await Promise.all([1, 2, 3, 4, 5, 6].map(client))
}

test('a file system smaller than the cache may be: no pull fails, and caching goes on', async (t) => {
  const { started } = await startOn(t, 'size=16m', { maxSize: '1GiB' })
  await pullMany(started, 60, mebibyte)
  assert.ok((await started.metric('berth_cache_evictions_total')) > 0)
  await sleep(pause)
  const blob = newBlob()
  assert.equal(await pullBlob(started, 'p/r', blob), 'miss')
  assert.equal(await pullBlob(started, 'p/r', blob), 'hit')
})

test('a file system without room for more files: no pull fails, and caching goes on', async (t) => {
  const { started } = await startOn(t, 'size=64m,nr_inodes=120', { maxSize: '1GiB' })
  await pullMany(started, 100, 10_000)
  assert.ok((await started.metric('berth_cache_evictions_total')) > 0)
  // Links are files as well: those that came after room was made are swept when room is made again.
  for (const _ of [1, 2]) {
    await sleep(pause)
    await pullBlob(started, 'p/r', newBlob(1000))
  }
  const blob = newBlob(1000)
  await pullBlob(started, 'p/r', blob)
  assert.equal(await pullBlob(started, 'p/r', blob), 'hit')
})

test('what has to stay free stays free, however much is pulled at once (C76)', async (t) => {
  const free = 8 * mebibyte
  const { started, directory } = await startOn(t, 'size=48m', {
    maxSize: '1GiB',
    minimumFree: free,
  })
  const leasts: number[] = []
  for (let round = 0; round < 4; round += 1) {
    await pullMany(started, 30, mebibyte)
    leasts.push(await freeBytes(directory))
  }
  assert.equal(await started.metric('berth_cache_storage_failures_total'), 0)
  // Links and directories are not counted beforehand.
  for (const least of leasts) assert.ok(least >= free - mebibyte, `${leasts}`)
})

test('a neighbour that fills the disk makes the cache smaller, without a pull (C76)', async (t) => {
  const { started, directory } = await startOn(t, 'size=32m', {
    maxSize: '1GiB',
    minimumFree: 4 * mebibyte,
  })
  const blobs = Array.from({ length: 20 }, () => newBlob(mebibyte))
  for (const blob of blobs) await pullBlob(started, 'p/r', blob)
  const [last] = blobs.slice(-1)
  assert.ok(last)
  await writeFile(join(directory, 'neighbour'), Buffer.alloc(11 * mebibyte))
  assert.ok((await freeBytes(directory)) < 4 * mebibyte)
  await eventually('room was made', async () => (await freeBytes(directory)) >= 4 * mebibyte)
  assert.equal(await pullBlob(started, 'p/r', last), 'hit')
})

test('a neighbour that fills the disk is made room for by the next pull (C76)', async (t) => {
  const { started, directory } = await startOn(t, 'size=32m', {
    maxSize: '1GiB',
    minimumFree: 4 * mebibyte,
  })
  for (let at = 0; at < 20; at += 1) await pullBlob(started, 'p/r', newBlob(mebibyte))
  await writeFile(join(directory, 'neighbour'), Buffer.alloc(11 * mebibyte))
  assert.equal(await pullBlob(started, 'p/r', newBlob(mebibyte)), 'miss')
  assert.ok((await freeBytes(directory)) >= 4 * mebibyte)
  assert.equal(await started.metric('berth_cache_storage_failures_total'), 0)
})

test('a neighbour that leaves no room at all is reported until it goes, in /readyz and once in the log (C76)', async (t) => {
  const { started, directory } = await startOn(t, 'size=32m', {
    maxSize: '1GiB',
    minimumFree: 4 * mebibyte,
  })
  const cacheIs = async () => {
    const { body } = await get(`${started.admin}/readyz`)
    const { parts } = JSON.parse(body.toString()) as { parts: Readonly<Record<string, string>> }
    return parts['cache'] ?? ''
  }
  await pullBlob(started, 'p/r', newBlob(mebibyte))
  assert.equal(await cacheIs(), 'ok')
  const neighbour = join(directory, 'neighbour')
  await writeFile(neighbour, Buffer.alloc(28 * mebibyte))
  for (let at = 0; at < 5; at += 1)
    assert.equal(await pullBlob(started, 'p/r', newBlob(mebibyte)), 'bypass')
  const why =
    /^no room, .*: the file system of .* lacks .* for a blob, and storage\.cache\.minimumFree keeps 4\.0 MiB: free space/
  assert.match(await cacheIs(), why)
  const warnings = () =>
    started.logs().filter(({ msg }) => /no room in the cache/.test(String(msg)))
  assert.equal(warnings().length, 1)
  await rm(neighbour)
  await pullBlob(started, 'p/r', newBlob(mebibyte))
  assert.equal(await cacheIs(), 'ok')
})

test('room that one blob frees is not counted on by two who come at the same time (C76)', async (t) => {
  const directory = await ownFileSystem(t, 'size=16m')
  const gate = Promise.withResolvers<void>()
  const evicted: string[] = []
  const budget = createBudget({
    directory,
    limit: 1024 * mebibyte,
    minimumFree: 8 * mebibyte,
    removeFromDisk: async (digest) => {
      await rm(join(directory, digest))
      evicted.push(digest)
      await gate.promise
    },
  })
  const stored = [randomBlob(4 * mebibyte), randomBlob(4 * mebibyte)]
  for (const { digest, bytes } of stored) await writeFile(join(directory, digest), bytes)
  budget.restore(stored.map(({ digest, bytes }) => [digest, bytes.length]))
  const fill = async () => (await budget.reserve(0))?.arrive(4 * mebibyte)
  const first = fill()
  await eventually('the first is removed', () => evicted.length === 1)
  const second = fill()
  await sleep(100)
  gate.resolve()
  assert.ok((await first) && (await second))
  assert.deepEqual(
    evicted,
    stored.map(({ digest }) => digest),
  )
})

test('a Berth that starts on a disk that a neighbour has filled serves what is there, and makes room (50, C211)', async (t) => {
  const { directory: disk } = await ownDisk(t, 64 * mebibyte)
  const start = () =>
    startBerth({ config: config({ directory: join(disk, 'cache'), maxSize: 40 * mebibyte }) })
  const first = await start()
  const image = makeImage()
  upstream.put('p/i', 'v1', image)
  const blobs = Array.from({ length: 10 }, () => newBlob())
  for (const blob of blobs) await pullBlob(first, 'p/r', blob)
  await pullImage(first, 'p/i', image, 'v1')
  await first.stop()
  await fillDisk(disk)

  await upstream.stop()
  const second = await start()
  try {
    await eventually('it says so', () =>
      second.logs().some(({ msg, err }) => {
        return /not stored for 5 s/.test(String(msg)) && /ENOSPC/.test(JSON.stringify(err))
      }),
    )
    await pullImage(second, 'p/i', image, 'v1')
    for (const blob of blobs.slice(-5)) assert.equal(await pullBlob(second, 'p/r', blob), 'hit')
  } finally {
    await upstream.start()
  }
  await eventually('room was made', async () => {
    return (await second.metric('berth_cache_evictions_total')) > 0
  })
  await sleep(pause)
  const cold = newBlob()
  await pullBlob(second, 'p/r', cold)
  assert.equal(await pullBlob(second, 'p/r', cold), 'hit')
  await checkInvariants(second)
  await removeBerth(second)
  await removeBerth(first)
})
