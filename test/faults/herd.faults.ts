import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkInvariants, eventually } from '../support/berth.ts'
import { type Child, peakMemory, startChild } from '../support/child.ts'
import { get } from '../support/client.ts'
import { makeImage } from '../support/images.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { type SeededBlob, seededAnswer, seededBlob } from '../support/seeded.ts'
import { type Streamed, streamBlob } from '../support/streaming.ts'

const mebibyte = 1024 * 1024
const clients = 100
/** The sources take 40 MiB more than the built program: each thread that sends files strips types. */
const typeStripping = 40

let upstream: ScriptedUpstream
let berth: Child
/** One for all tests: hashing is what takes time. */
let blob: SeededBlob

before(async () => {
  upstream = await startScriptedUpstream()
  blob = seededBlob(1, 200_000_000)
})
after(() => upstream.close())
beforeEach(async () => {
  upstream.behave()
  berth = await startChild({
    config: { upstreams: [{ url: upstream.url, tags: { ttl: '1s' } }] },
    environment: { UV_THREADPOOL_SIZE: '4' },
  })
})
afterEach(async () => {
  await checkInvariants(berth)
  await berth.kill('SIGTERM')
  await rm(berth.directory, { recursive: true, force: true })
})

function urlOf({ digest }: SeededBlob): string {
  return `${berth.url}/v2/p/r/blobs/${digest}`
}

/** What the upstream was asked for since a moment: the ranges, or nothing for all. */
function asked(since: number, { digest }: SeededBlob): readonly (string | undefined)[] {
  return upstream.requests
    .slice(since)
    .filter(({ path }) => path.includes(digest))
    .map(({ headers }) => headers['range'])
}

function assertWhole(results: readonly Streamed[], size: number): void {
  for (const result of results)
    assert.deepEqual(result, { status: 200, received: size, complete: true, right: true })
}

test('a hundred clients of a cold blob are one request, and read it while it comes (L85)', async (t) => {
  const before = upstream.requests.length
  const gate = Promise.withResolvers<void>()
  const half = blob.size / 2
  upstream.on(blob.digest, seededAnswer(blob, { pause: { at: half, gate: gate.promise } }))
  const begun = Array.from({ length: clients }, () => Promise.withResolvers<void>())
  const pulls = begun.map(({ resolve }) => streamBlob(urlOf(blob), blob, { onFirstByte: resolve }))
  await Promise.all(begun.map(({ promise }) => promise))
  gate.resolve()
  assertWhole(await Promise.all(pulls), blob.size)
  assert.deepEqual(asked(before, blob), [undefined])
  t.diagnostic(`${clients} clients, 1 GET, memory at most ${await peakMemory(berth.pid)} MiB`)
})

test('a hundred clients, half of which want ranges and hang up, are one request (T9, L86, L94)', async (t) => {
  const before = upstream.requests.length
  const gate = Promise.withResolvers<void>()
  const half = blob.size / 2
  upstream.on(blob.digest, seededAnswer(blob, { pause: { at: half, gate: gate.promise } }))
  const leaving = Array.from({ length: clients / 2 }, (_, at) =>
    streamBlob(urlOf(blob), blob, { range: { first: at * mebibyte }, hangUpAfter: mebibyte }),
  )
  const staying = Array.from({ length: clients / 2 }, () => streamBlob(urlOf(blob), blob))
  for (const { status, right, complete, received } of await Promise.all(leaving)) {
    assert.deepEqual({ status, right, complete }, { status: 206, right: true, complete: false })
    assert.ok(received >= mebibyte)
  }
  gate.resolve()
  assertWhole(await Promise.all(staying), blob.size)
  assert.deepEqual(asked(before, blob), [undefined])
  t.diagnostic(`${leaving.length} left, ${staying.length} stayed, 1 GET`)
})

test('a body that is cut twice is asked for from where it stopped, for all clients at once (L89)', async (t) => {
  const before = upstream.requests.length
  const [ended, reset] = [60_000_000, 130_000_000]
  upstream.on(blob.digest, seededAnswer(blob, { cut: { at: ended, how: 'end' } }), 1)
  upstream.on(blob.digest, seededAnswer(blob, { cut: { at: reset, how: 'reset' } }), 1)
  upstream.on(blob.digest, seededAnswer(blob))
  const pulls = Array.from({ length: clients }, () => streamBlob(urlOf(blob), blob))
  assertWhole(await Promise.all(pulls), blob.size)
  const [first, second, third, ...more] = asked(before, blob)
  assert.deepEqual([first, second, more], [undefined, `bytes=${ended}-`, []])
  // What was sent just before an RST may be lost with it.
  const resumed = Number(/^bytes=(\d+)-$/.exec(third ?? '')?.[1])
  assert.ok(resumed > ended && resumed <= reset, third)
  t.diagnostic(`${clients} clients, 3 GETs: from 0, ${ended} and ${resumed}`)
})

test('memory stays within 256 MiB: a blob of 1 GiB, 200 clients while it comes and 200 after (L85, L99)', async (t) => {
  const large = seededBlob(2, 1024 * mebibyte)
  const before = upstream.requests.length
  upstream.on(large.digest, seededAnswer(large))
  const wanted = 16 * mebibyte
  const pullAll = () => {
    const parts = Array.from({ length: 200 }, (_, at) => {
      const first = Math.floor((at / 200) * (large.size - wanted))
      return streamBlob(urlOf(large), large, { range: { first, last: first + wanted - 1 } })
    })
    const wholes = [1, 2].map(() => streamBlob(urlOf(large), large))
    return Promise.all([Promise.all(parts), Promise.all(wholes)])
  }
  for (const state of ['cold', 'warm']) {
    const [parts, wholes] = await pullAll()
    for (const part of parts)
      assert.deepEqual(part, { status: 206, received: wanted, complete: true, right: true })
    assertWhole(wholes, large.size)
    const peak = await peakMemory(berth.pid)
    t.diagnostic(`${state}: memory at most ${peak} MiB`)
    assert.ok(peak <= 256 + typeStripping, `${peak} MiB`)
  }
  assert.deepEqual(asked(before, large), [undefined])
})

test('a hundred clients of a tag that is no longer fresh are one question (C82)', async () => {
  const image = makeImage({ layers: [] })
  upstream.put('p/i', 'v1', image)
  const url = `${berth.url}/v2/p/i/manifests/v1`
  await get(url)
  await sleep(1100)
  const before = upstream.requests.length
  const gate = Promise.withResolvers<void>()
  const asking = Promise.withResolvers<void>()
  upstream.on('/manifests/v1', async ({ head }) => {
    asking.resolve()
    await gate.promise
    head(200, {
      'content-type': image.mediaType,
      'docker-content-digest': image.digest,
      'content-length': String(image.bytes.length),
    })
  })
  const pulls = Array.from({ length: clients }, () => get(url))
  await asking.promise
  await eventually(
    'all have asked',
    async () => (await berth.metric('berth_http_in_flight')) >= clients,
  )
  gate.resolve()
  for (const { status, body } of await Promise.all(pulls)) {
    assert.equal(status, 200)
    assert.deepEqual(body, image.bytes)
  }
  const asked = upstream.requests.slice(before).map(({ method, path }) => `${method} ${path}`)
  assert.deepEqual(asked, ['HEAD /v2/p/i/manifests/v1'])
})
