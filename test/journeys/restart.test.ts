import assert from 'node:assert/strict'
import { rm, utimes, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, mock, test } from 'node:test'
import { blobPath, recencyPath } from '../../src/store/paths.ts'
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
import { getBlob, pullBlob, pullImage } from '../support/pull.ts'
import { answerInTwo } from '../support/scripted-upstream.ts'
import { useUpstream } from '../support/use-upstream.ts'

const mebibyte = 1024 * 1024
const limit = 4 * mebibyte

const upstream = await useUpstream()
let berth: Berth | undefined
let child: Child | undefined

beforeEach(() => {
  berth = undefined
  child = undefined
})
afterEach(async () => {
  await child?.kill('SIGKILL')
  if (berth === undefined) return
  await checkInvariants(berth)
  await removeBerth(berth)
})

function config(maxSize = limit): Readonly<Record<string, unknown>> {
  return {
    upstreams: [{ url: upstream.url, tags: { staleIfError: '24h' } }],
    storage: { cache: { maxSize, minimumFree: 0, scrubRate: 0 } },
  }
}

function newBlob(size: number): Blob {
  const blob = randomBlob(size)
  upstream.putBlob('p/r', blob)
  return blob
}

/** Starts a Berth in this process where a child was. */
async function takeOver({ directory }: Child): Promise<Berth> {
  const started = await startBerth({ config: config(), directory })
  await scanned(started)
  return started
}

async function scanned(started: Berth): Promise<void> {
  await eventually('the directory is scanned', () =>
    started.logs().some(({ msg }) => msg === 'cache scanned'),
  )
}

test('killed while it pulls and evicts, it starts again with all that was whole, and nothing else (C67, INV-18)', async () => {
  child = await startChild({ config: config() })
  for (let round = 0; round < 4; round += 1) {
    const running = child
    const blobs = Array.from({ length: 40 }, () => newBlob(300_000))
    let pulled = 0
    const pulling = blobs.map(async (blob) => {
      await getBlob(running, 'p/r', blob)
      pulled += 1
    })
    const settled = Promise.allSettled(pulling)
    await eventually('some are pulled', () => pulled >= 5 + 8 * round)
    await running.kill('SIGKILL')
    await settled
    berth = await takeOver(running)
    await checkInvariants(berth)
    for (const blob of blobs.slice(0, 5)) await pullBlob(berth, 'p/r', blob)
    await checkInvariants(berth)
    await berth.stop()
    child = await startChild({ config: config(), directory: running.directory })
  }
  await child.kill('SIGTERM')
  berth = await takeOver(child)
})

for (const [what, text] of [
  ['missing', undefined],
  ['cut off', 'sha256:0123'],
  ['garbage', '\0'.repeat(1000)],
] as const) {
  test(`with its order of use ${what} the cache is what is on the disk (C67)`, async () => {
    berth = await startBerth({ config: config() })
    const blobs = [newBlob(mebibyte), newBlob(mebibyte)] as const
    for (const blob of blobs) await pullBlob(berth, 'p/r', blob)
    await berth.stop()
    await rm(recencyPath(berth.cache))
    if (text !== undefined) await writeFile(recencyPath(berth.cache), text)
    berth = await berth.restart()
    await scanned(berth)
    assert.equal(await berth.metric('berth_cache_blobs'), 2)
    for (const blob of blobs) assert.equal(await pullBlob(berth, 'p/r', blob), 'hit')
  })
}

test('a second Berth on the same directory is refused, and told who holds it (53, C70)', async () => {
  child = await startChild({ config: config() })
  const running = child
  const blob = newBlob(mebibyte)
  const gate = Promise.withResolvers<void>()
  upstream.on('/blobs/', answerInTwo(blob.bytes, 500_000, gate.promise), 1)
  const pulling = pullBlob(running, 'p/r', blob)
  await eventually('a file is written', async () => {
    return (await temporaryFiles(running.cache)).length === 1
  })
  const [written = ''] = await temporaryFiles(running.cache)
  await assert.rejects(
    startBerth({ config: config(), directory: running.directory }),
    /storage\.directory: .* is used by another Berth \(process \d+ on .*\)/,
  )
  assert.ok((await temporaryFiles(running.cache)).includes(written))
  gate.resolve()
  await pulling
  assert.equal(await pullBlob(running, 'p/r', blob), 'hit')
  await running.kill('SIGKILL')
  berth = await takeOver(running)
  assert.equal(await pullBlob(berth, 'p/r', blob), 'hit')
})

test('what a killed one was writing is gone after the next start (C66)', async () => {
  child = await startChild({ config: config() })
  const blob = newBlob(mebibyte)
  const gate = Promise.withResolvers<void>()
  upstream.on('/blobs/', answerInTwo(blob.bytes, 500_000, gate.promise), 1)
  const pulling = Promise.allSettled([getBlob(child, 'p/r', blob)])
  const { cache } = child
  await eventually('a file is written', async () => (await temporaryFiles(cache)).length === 1)
  await child.kill('SIGKILL')
  gate.resolve()
  await pulling
  berth = await takeOver(child)
  assert.deepEqual(await temporaryFiles(cache), [])
  assert.equal(await pullBlob(berth, 'p/r', blob), 'miss')
})

for (const hours of [23, -24]) {
  test(`a clock that jumps by ${hours} hours expires nothing (C80)`, async (t) => {
    const image = makeImage()
    upstream.put('p/clock', 'v1', image)
    berth = await startBerth({ config: config() })
    await pullImage(berth, 'p/clock', image, 'v1')
    const asked = upstream.requests.length
    mock.timers.enable({ apis: ['Date'], now: Date.now() + hours * 3_600_000 })
    t.after(() => mock.timers.reset())
    await pullImage(berth, 'p/clock', image, 'v1')
    assert.equal(upstream.requests.length, asked)

    await upstream.stop()
    try {
      berth = await berth.restart()
      await pullImage(berth, 'p/clock', image, 'v1')
      const stale = await get(`${berth.url}/v2/p/clock/manifests/v1`)
      const [, age] = /validated (-?\d+) s ago/.exec(stale.headers['warning'] ?? '') ?? []
      assert.ok(Number(age) >= 0)
    } finally {
      await upstream.start()
    }
  })
}

test('a clock that was put back leaves the order of eviction (C80)', async (t) => {
  berth = await startBerth({ config: config() })
  const [first, second] = [newBlob(1.5 * mebibyte), newBlob(1.5 * mebibyte)]
  await pullBlob(berth, 'p/r', first)
  mock.timers.enable({ apis: ['Date'], now: Date.now() - 24 * 3_600_000 })
  t.after(() => mock.timers.reset())
  await pullBlob(berth, 'p/r', second)
  await eventually('both are stored', async () => (await berth?.metric('berth_cache_blobs')) === 2)
  await berth.stop()
  const yesterday = Date.now() / 1000 - 24 * 3600
  await utimes(blobPath(berth.cache, second.digest), yesterday, yesterday)
  berth = await berth.restart()
  await scanned(berth)
  await pullBlob(berth, 'p/r', newBlob(1.5 * mebibyte))
  assert.equal(await pullBlob(berth, 'p/r', second), 'hit')
  assert.equal(await pullBlob(berth, 'p/r', first), 'miss')
})
