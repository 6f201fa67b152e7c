import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import { parseDigest } from '../../src/oci/digest.ts'
import { blobPath } from '../../src/store/paths.ts'
import { checkInvariants, eventually, visibleBlobs } from '../support/berth.ts'
import { type Child, startChild } from '../support/child.ts'
import { type Blob, makeImage, randomBlob } from '../support/images.ts'
import { ownDisk, ownFileSystem } from '../support/mounts.ts'
import { pullBlob, pullImage } from '../support/pull.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

const mebibyte = 1024 * 1024

let upstream: ScriptedUpstream
let child: Child | undefined

before(async () => {
  upstream = await startScriptedUpstream()
})
after(() => upstream.close())
afterEach(async () => {
  await child?.kill('SIGTERM')
  if (child !== undefined) await rm(child.directory, { recursive: true, force: true })
})

async function start(directory: string): Promise<Child> {
  child = await startChild({
    config: {
      upstreams: [{ url: upstream.url }],
      storage: { cache: { directory, maxSize: '1GiB', minimumFree: 0, scrubRate: 0 } },
    },
  })
  return { ...child, cache: directory }
}

function newBlob(size: number): Blob {
  const blob = randomBlob(size)
  upstream.putBlob('p/r', blob)
  return blob
}

test('after a power failure all can be pulled: what got to the disk from there, the rest anew (C68, T15)', async (t) => {
  const disk = await ownDisk(t, 128 * mebibyte)
  const first = await start(disk.directory)
  const settled = newBlob(3 * mebibyte)
  assert.equal(await pullBlob(first, 'p/r', settled), 'miss')
  assert.equal(await pullBlob(first, 'p/r', settled), 'hit')
  disk.settle()
  const lost = [newBlob(5000), newBlob(3 * mebibyte)]
  for (const blob of lost) await pullBlob(first, 'p/r', blob)
  const image = makeImage()
  upstream.put('p/i', 'v1', image)
  await pullImage(first, 'p/i', image, 'v1')
  for (const blob of lost) assert.equal(await pullBlob(first, 'p/r', blob), 'hit')

  const { directory } = await disk.afterPowerLoss()
  await first.kill('SIGKILL')
  await rm(first.directory, { recursive: true })
  const torn = await Promise.all(
    lost.map(async ({ digest }) => (await stat(blobPath(directory, digest))).size),
  )
  assert.deepEqual(torn, [0, 0], 'the failure leaves names without bytes, or it shows nothing')

  const second = await start(directory)
  assert.equal(await pullBlob(second, 'p/r', settled), 'hit')
  for (const blob of lost) assert.equal(await pullBlob(second, 'p/r', blob), 'miss')
  await pullImage(second, 'p/i', image, 'v1')
  await scanned(second)
  await checkInvariants(second)
  assert.ok((await second.metric('berth_cache_corruptions_total')) >= lost.length)
})

test('with 100,000 blobs it is ready before it has looked at them, and hashes none of them (C69)', async (t) => {
  const count = 100_000
  const directory = await ownFileSystem(t, `size=1g,nr_inodes=${4 * count}`)
  const kept = newBlob(10_000)
  const first = await start(directory)
  await pullBlob(first, 'p/r', kept)
  await first.kill('SIGTERM')
  // None of them is what its name says: that would be found out by hashing.
  for (let at = 0; at < count; at += 1) placeWrong(directory)

  const started = performance.now()
  const second = await start(directory)
  const ready = performance.now() - started
  assert.equal(await pullBlob(second, 'p/r', kept), 'hit')
  await scanned(second)
  const all = performance.now() - started
  const at = (message: string) => second.output().indexOf(`"${message}"`)
  assert.ok(at('listening') < at('cache scanned'), 'it listens before it has looked')
  assert.equal(await second.metric('berth_cache_blobs'), count + 1)
  assert.equal(await second.metric('berth_cache_corruptions_total'), 0)
  t.diagnostic(`ready after ${Math.round(ready)} ms, all counted after ${Math.round(all)} ms`)
  assert.equal((await visibleBlobs(directory)).length, count + 1)
})

function placeWrong(directory: string): void {
  const digest = parseDigest(`sha256:${randomBytes(32).toString('hex')}`)
  const path = blobPath(directory, digest)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, 'x')
}

async function scanned(berth: Child): Promise<void> {
  await eventually('it is scanned', () => berth.output().includes('cache scanned'))
}
