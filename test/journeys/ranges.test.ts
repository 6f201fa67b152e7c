import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import {
  type Berth,
  checkInvariants,
  eventually,
  removeBerth,
  startBerth,
} from '../support/berth.ts'
import { partsOf } from '../support/byteranges.ts'
import { get, type Reply } from '../support/client.ts'
import { type Blob, randomBlob } from '../support/images.ts'
import { pullBlob } from '../support/pull.ts'
import {
  answerInTwo,
  type ScriptedUpstream,
  startScriptedUpstream,
} from '../support/scripted-upstream.ts'

const mebibyte = 1024 * 1024

let upstream: ScriptedUpstream
let berth: Berth

before(async () => {
  upstream = await startScriptedUpstream()
})
after(() => upstream.close())
beforeEach(async () => {
  upstream.behave()
  berth = await start()
})
afterEach(async () => {
  await checkInvariants(berth)
  await removeBerth(berth)
})

function start(cache: Readonly<Record<string, unknown>> = {}): Promise<Berth> {
  const storage = { cache: { minimumFree: 0, scrubRate: 0, ...cache } }
  return startBerth({ config: { upstreams: [{ url: upstream.url }], storage } })
}

function newBlob(size: number): Blob {
  const blob = randomBlob(size)
  upstream.putBlob('p/r', blob)
  return blob
}

function ask({ digest }: Blob, ranges: string): Promise<Reply> {
  return get(`${berth.url}/v2/p/r/blobs/${digest}`, { headers: { range: `bytes=${ranges}` } })
}

function assertParts(reply: Reply, { bytes }: Blob, ranges: readonly string[]): void {
  assert.equal(reply.status, 206)
  assert.equal(reply.headers['content-length'], String(reply.body.length))
  const parts = partsOf(reply)
  assert.deepEqual(
    parts.map(({ range }) => range),
    ranges,
  )
  for (const { range, bytes: got } of parts) {
    const [first = 0, last = 0] = range.split('-').map(Number)
    assert.ok(got.equals(bytes.subarray(first, last + 1)), range)
  }
}

test('several ranges of a cached blob come in one answer (P13)', async () => {
  const blob = newBlob(3 * mebibyte)
  await pullBlob(berth, 'p/r', blob)
  const reply = await ask(blob, '0-0,1-99999,2000000-2999999,-7,9999999-')
  const size = blob.bytes.length
  assertParts(reply, blob, ['0-0', '1-99999', '2000000-2999999', `${size - 7}-${size - 1}`])
  assert.equal(reply.headers['x-cache'], 'hit')
})

test('several ranges of a cold blob come as it is downloaded, from one request (P12, P13)', async () => {
  const blob = newBlob(3 * mebibyte)
  const gate = Promise.withResolvers<void>()
  upstream.on(blob.digest, answerInTwo(blob.bytes, mebibyte, gate.promise))
  const before = upstream.requests.length
  const asking = ask(blob, '10-19,1048500-1048700,3000000-')
  await eventually('it is being downloaded', () => upstream.requests.length > before)
  gate.resolve()
  const last = blob.bytes.length - 1
  assertParts(await asking, blob, ['10-19', '1048500-1048700', `3000000-${last}`])
  assert.equal(upstream.requests.length - before, 1)
})

test('several ranges of a blob that is passed through uncached come in order (P13)', async () => {
  await removeBerth(berth)
  berth = await start({ maxSize: mebibyte })
  const blob = newBlob(3 * mebibyte)
  const reply = await ask(blob, '2000000-2000999,0-9,5-1000')
  assertParts(reply, blob, ['0-1000', '2000000-2000999'])
  assert.equal(reply.headers['x-cache'], 'bypass')
})

test('a connection carries on after an answer with several ranges (P13)', async () => {
  const blob = newBlob(mebibyte)
  await pullBlob(berth, 'p/r', blob)
  for (const ranges of ['0-1,4-5', '7-8', '1-2,5-6,900000-']) {
    const reply = await ask(blob, ranges)
    assert.equal(reply.status, 206)
  }
  await pullBlob(berth, 'p/r', blob)
})

test('too many ranges, and ranges that lie elsewhere, are refused with the size (P13)', async () => {
  const blob = newBlob(100_000)
  const many = Array.from({ length: 1025 }, (_, at) => `${2 * at}-${2 * at}`).join(',')
  for (const ranges of [many, '100000-,200000-200001']) {
    const { status, headers } = await ask(blob, ranges)
    assert.equal(status, 416)
    assert.equal(headers['content-range'], 'bytes */100000')
  }
})
