import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { after, afterEach, before, test } from 'node:test'
import { checkInvariants } from '../support/berth.ts'
import { type Child, peakMemory, startChild } from '../support/child.ts'
import { ownFileSystem, remount } from '../support/mounts.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { type SeededBlob, seededAnswer, seededBlob } from '../support/seeded.ts'
import { streamBlob } from '../support/streaming.ts'

const mebibyte = 1024 * 1024
const clients = 8
/** In MiB. */
const maxMemory = 256

let upstream: ScriptedUpstream
let berth: Child
/** One for all tests: hashing is what takes time. */
let blob: SeededBlob

before(async () => {
  upstream = await startScriptedUpstream()
  blob = seededBlob(1, 1024 * mebibyte)
  upstream.on(blob.digest, seededAnswer(blob))
})
after(() => upstream.close())
afterEach(async () => {
  await checkInvariants(berth)
  await berth.kill('SIGTERM')
  await rm(berth.directory, { recursive: true, force: true })
})

async function startWith(cache: Readonly<Record<string, unknown>>): Promise<void> {
  berth = await startChild({
    config: { upstreams: [{ url: upstream.url }], storage: { cache } },
    environment: { UV_THREADPOOL_SIZE: '4' },
  })
}

async function pullAtOnce(): Promise<number> {
  const url = `${berth.url}/v2/p/r/blobs/${blob.digest}`
  const got = await Promise.all(Array.from({ length: clients }, () => streamBlob(url, blob)))
  for (const one of got)
    assert.deepEqual(one, { status: 200, received: blob.size, complete: true, right: true })
  return peakMemory(berth.pid)
}

test('eight clients of a blob that is larger than the cache stay within 256 MiB of memory (C196)', async (t) => {
  await startWith({ maxSize: mebibyte, minimumFree: 0 })
  const peak = await pullAtOnce()
  t.diagnostic(`${peak} MiB`)
  assert.ok(peak < maxMemory, `${peak} MiB`)
})

test('eight clients of a blob on a read-only disk stay within 256 MiB of memory (C196)', async (t) => {
  const directory = await ownFileSystem(t, 'size=64m')
  await startWith({ directory, minimumFree: 0 })
  berth = { ...berth, cache: directory }
  remount(directory, 'ro')
  const peak = await pullAtOnce()
  t.diagnostic(`${peak} MiB`)
  assert.ok(peak < maxMemory, `${peak} MiB`)
  remount(directory, 'rw')
})
