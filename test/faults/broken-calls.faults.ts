import assert from 'node:assert/strict'
import { chmod, readdir } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Berth,
  checkInvariants,
  eventually,
  removeBerth,
  startBerth,
  visibleBlobs,
} from '../support/berth.ts'
import { type Child, startChild } from '../support/child.ts'
import { get, wrongBodies } from '../support/client.ts'
import { flipBlob, temporaryFiles } from '../support/disk.ts'
import { type Blob, makeImage, randomBlob } from '../support/images.ts'
import { ownFileSystem, remount } from '../support/mounts.ts'
import { getBlob, pullBlob, pullImage } from '../support/pull.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'
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
    berth = await startBerth({ config: config(), directory: child.directory })
  if (berth === undefined) return
  await checkInvariants(berth)
  await removeBerth(berth)
})

function config(cache: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  return {
    upstreams: [{ url: upstream.url }],
    storage: { cache: { minimumFree: 0, scrubRate: 0, ...cache } },
  }
}

function newBlob(size: number): Blob {
  const blob = randomBlob(size)
  upstream.putBlob('p/r', blob)
  return blob
}

/** A Berth that was started anew over what it has stored. */
async function restarted(store: (first: Child) => Promise<void>): Promise<Child> {
  const first = await startChild({ config: config() })
  child = first
  await store(first)
  await first.kill('SIGTERM')
  child = await startChild({ config: config(), directory: first.directory })
  return child
}

for (const [size, firstBad] of [
  [10_000, 1],
  [3 * mebibyte, 1],
  [3 * mebibyte, 5],
] as const) {
  test(`a blob of ${size} bytes that cannot be read from part ${firstBad} on is removed and fetched anew (C65)`, async () => {
    const blob = newBlob(size)
    const running = await restarted(async (first) => {
      await pullBlob(first, 'p/r', blob)
      assert.equal(await pullBlob(first, 'p/r', blob), 'hit')
    })
    const fault = await inject(running, 'files', `pread64,preadv:error=EIO:when=${firstBad}+`)
    const broken = await getBlob(running, 'p/r', blob)
    assert.ok(broken.status >= 500 || !broken.complete || broken.body.equals(blob.bytes))
    await fault.withdraw()
    await pullBlob(running, 'p/r', blob)
    assert.equal(await running.metric('berth_cache_corruptions_total'), 1)
    assert.equal(await pullBlob(running, 'p/r', blob), 'hit')
  })
}

test('a manifest that cannot be read is removed and fetched anew (C60, C65)', async () => {
  const image = makeImage()
  upstream.put('p/i', 'v1', image)
  const running = await restarted((first) => pullImage(first, 'p/i', image, 'v1'))
  const fault = await inject(running, 'files', 'read:error=EIO')
  const manifest = await get(`${running.url}/v2/p/i/manifests/${image.digest}`)
  await fault.withdraw()
  assert.deepEqual(manifest.body, image.bytes)
  assert.equal(await running.metric('berth_cache_corruptions_total'), 1)
  assert.equal(await running.metric('berth_cache_storage_failures_total'), 0)
})

test('a blob that breaks while the kernel sends it is cut short, verified again, and right (C65)', async () => {
  const blob = newBlob(3 * mebibyte)
  const running = await startChild({ config: config() })
  child = running
  await pullBlob(running, 'p/r', blob)
  await pullBlob(running, 'p/r', blob)
  const fault = await inject(running, 'sendfile', 'sendfile:error=EIO')
  const broken = await getBlob(running, 'p/r', blob)
  await fault.withdraw()
  assert.ok(!broken.complete)
  assert.equal(await running.metric('berth_http_short_responses_total'), 1)
  assert.equal(await pullBlob(running, 'p/r', blob), 'hit')
})

for (const refusal of ['EPERM', 'ENOSYS', 'EINVAL']) {
  test(`a kernel that refuses sendfile with ${refusal} is replaced by reading (issue 10, point 53)`, async () => {
    const blob = newBlob(3 * mebibyte)
    const running = await startChild({ config: config() })
    child = running
    await pullBlob(running, 'p/r', blob)
    await pullBlob(running, 'p/r', blob)
    const fault = await inject(running, 'sendfile', `sendfile:error=${refusal}`)
    assert.equal(await pullBlob(running, 'p/r', blob), 'hit')
    await fault.withdraw()
    assert.equal(await running.metric('berth_http_short_responses_total'), 0)
  })
}

test('a disk that becomes read-only costs the cache, not the pulls (C63)', async (t) => {
  const directory = await ownFileSystem(t, 'size=64m')
  const started = await startBerth({ config: config({ directory }) })
  berth = started
  const [warm, cold] = [newBlob(mebibyte), newBlob(mebibyte)]
  await pullBlob(started, 'p/r', warm)
  await pullBlob(started, 'p/r', warm)
  remount(directory, 'ro')
  const image = makeImage()
  upstream.put('p/i', 'v1', image)
  await pullImage(started, 'p/i', image, 'v1')
  await Promise.all([1, 2, 3].map(() => pullBlob(started, 'p/r', cold)))
  assert.equal(await pullBlob(started, 'p/r', warm), 'hit')
  assert.ok((await started.metric('berth_cache_storage_failures_total')) >= 1)
  assert.match((await get(`${started.admin}/readyz`)).body.toString('utf8'), /EROFS/)
  remount(directory, 'rw')
  await sleep(pause)
  await pullBlob(started, 'p/r', cold)
  assert.equal(await pullBlob(started, 'p/r', cold), 'hit')
})

for (const size of [10_000, 3 * mebibyte]) {
  test(`a blob of ${size} bytes that rots on a disk that became read-only is still pulled (C57, C63)`, async (t) => {
    const directory = await ownFileSystem(t, 'size=64m')
    const started = await startBerth({ config: config({ directory }) })
    berth = started
    const blob = newBlob(size)
    await pullBlob(started, 'p/r', blob)
    await pullBlob(started, 'p/r', blob)
    await flipBlob(directory, blob.digest, size - 1)
    remount(directory, 'ro')
    await getBlob(started, 'p/r', blob)
    assert.equal(await pullBlob(started, 'p/r', blob), 'bypass')
    assert.equal(await pullBlob(started, 'p/r', blob), 'bypass')
    assert.equal(await started.metric('berth_cache_corruptions_total'), 1)
    remount(directory, 'rw')
    await sleep(pause)
    await pullBlob(started, 'p/r', blob)
    assert.equal(await pullBlob(started, 'p/r', blob), 'hit')
  })
}

test('a cache that is full of what cannot be removed does not grow (C63)', async (t) => {
  const directory = await ownFileSystem(t, 'size=64m')
  const started = await startBerth({ config: config({ directory, maxSize: 4 * mebibyte }) })
  berth = started
  for (const _ of [1, 2, 3]) await pullBlob(started, 'p/r', newBlob(mebibyte))
  const before = (await visibleBlobs(directory)).length
  remount(directory, 'ro')
  await pullBlob(started, 'p/r', newBlob(2 * mebibyte))
  remount(directory, 'rw')
  assert.equal((await visibleBlobs(directory)).length, before)
})

/** Root, but bound by permissions to write, as everyone else is. */
const bound = ['setpriv', '--bounding-set=-dac_override', '--inh-caps=-dac_override']

test('a directory that may not be written to costs the cache, not the pulls (C63)', async () => {
  const running = await startChild({ config: config(), wrapper: bound })
  child = running
  const [warm, cold] = [newBlob(mebibyte), newBlob(mebibyte)]
  await pullBlob(running, 'p/r', warm)
  await pullBlob(running, 'p/r', warm)
  await chmodBelow(running.cache, 0o555)
  await Promise.all([1, 2, 3].map(() => pullBlob(running, 'p/r', cold)))
  assert.equal(await pullBlob(running, 'p/r', warm), 'hit')
  assert.ok((await running.metric('berth_cache_storage_failures_total')) >= 1)
  await chmodBelow(running.cache, 0o755)
  await sleep(pause)
  await pullBlob(running, 'p/r', cold)
  assert.equal(await pullBlob(running, 'p/r', cold), 'hit')
})

test('a directory that may not be written to is told at the start, by its name (C166)', async () => {
  const first = await startChild({ config: config(), wrapper: bound })
  await first.kill('SIGTERM')
  child = first
  await chmodBelow(first.cache, 0o555)
  await assert.rejects(
    startChild({ config: config(), wrapper: bound, directory: first.directory }),
    /storage\.directory: EACCES: cannot create a lock in \/.*\/cache \(permission denied; choose another/,
  )
  await chmodBelow(first.cache, 0o755)
})

test('without free descriptors clients wait or are told to, and nothing is lost of the cache (C64)', async () => {
  const running = await startChild({ config: config(), wrapper: ['prlimit', '--nofile=64:64'] })
  child = running
  const blobs = Array.from({ length: 20 }, () => newBlob(200_000))
  for (const blob of blobs) await pullBlob(running, 'p/r', blob)
  const files = async () =>
    (await running.openFiles()).filter((path) => !path.startsWith('socket:'))
  const isOwn = (path: string) => path.startsWith(`${running.cache}/docker/`)
  await eventually('blobs are closed', async () => !(await files()).some(isOwn))
  const before = await files()

  const { hostname, port } = new URL(running.url)
  const idle: Socket[] = []
  for (let at = 0; at < 30; at += 1)
    idle.push(connect(Number(port), hostname).on('error', () => {}))
  const pulls = [...blobs, ...Array.from({ length: 200 }, () => newBlob(50_000))]
  const replies = await Promise.all(
    pulls.map((blob) => getBlob(running, 'p/r', blob).catch(() => undefined)),
  )
  for (const reply of replies)
    assert.ok(reply === undefined || !reply.complete || reply.status === 200 || reply.status >= 500)
  assert.deepEqual(wrongBodies, [])
  for (const socket of idle) socket.destroy()

  await eventually('it answers again', async () => {
    const reply = await get(`${running.url}/v2/`).catch(() => undefined)
    return reply?.status === 200
  })
  await sleep(pause)
  for (const blob of pulls) await pullBlob(running, 'p/r', blob)
  for (const blob of blobs) assert.equal(await pullBlob(running, 'p/r', blob), 'hit')
  assert.equal(await running.metric('berth_cache_corruptions_total'), 0)
  assert.deepEqual(await temporaryFiles(running.cache), [])
  await eventually('blobs are closed', async () => !(await files()).some(isOwn))
  assert.equal((await files()).length, before.length)
})

async function chmodBelow(cache: string, mode: number): Promise<void> {
  const entries = await readdir(cache, { recursive: true, withFileTypes: true })
  for (const entry of entries.filter((one) => one.isDirectory()))
    await chmod(`${entry.parentPath}/${entry.name}`, mode)
  await chmod(cache, mode)
}
