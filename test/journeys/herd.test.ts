import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { eventually } from '../support/berth.ts'
import { type Compared, getCompared } from '../support/client.ts'
import { useForwardClock } from '../support/clock.ts'
import { type Blob, randomBlob } from '../support/images.ts'
import { pullBlob } from '../support/pull.ts'
import { connectRaw } from '../support/raw.ts'
import { createBarrier, settle } from '../support/remotes.ts'
import { answerInTwo, answerUpTo } from '../support/scripted-upstream.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const upstream = await useUpstream()
const limits = { fillStall: '1s' }
const berth = useBerth({ config: { upstreams: [{ url: upstream.url }], limits } })
let blob: Blob

beforeEach(() => {
  blob = served(4_000_000)
})

/** More than what the kernel keeps for a client that does not read. */
const large = 12_000_000

function served(size: number): Blob {
  const blob = randomBlob(size)
  upstream.putBlob('p/r', blob)
  return blob
}

const lineOf = ({ digest }: Blob) => `GET /v2/p/r/blobs/${digest}`
const urlOf = ({ digest }: Blob) => `${berth.url}/v2/p/r/blobs/${digest}`
const host = () => new URL(upstream.url).host
const inFlight = () => berth.metric('berth_http_in_flight')

type Asking = Parameters<typeof getCompared>[2]

function ask(clients: number, options: (at: number) => Asking = () => ({})) {
  return Array.from({ length: clients }, (_, at) =>
    getCompared(urlOf(blob), blob.bytes, options(at)),
  )
}

function assertWhole(replies: readonly Compared[]): void {
  for (const { status, size, complete } of replies)
    assert.deepEqual([status, size, complete], [200, blob.bytes.length, true])
}

/** Answers so that half of the blob comes when `gate` is opened. */
function holdHalf(): () => void {
  const gate = Promise.withResolvers<void>()
  upstream.on(lineOf(blob), answerInTwo(blob.bytes, blob.bytes.length / 2, gate.promise))
  return gate.resolve
}

test('a hundred clients on one cold blob, half of them open ranges that hang up, are one download (L85, L94)', async () => {
  blob = served(large)
  const everybody = createBarrier(100)
  const open = holdHalf()
  void everybody().then(open)
  const pulls = ask(100, (at) => {
    const onFirst = () => void everybody()
    const from = (at * 97_003) % (large / 2 - 100_000)
    return at % 2 === 0 ? { onFirst } : { onFirst, from, hangUpAfter: 50_000 }
  })
  const replies = await Promise.all(pulls)
  assertWhole(replies.filter((_, at) => at % 2 === 0))
  for (const [at, { status, complete }] of replies.entries())
    if (at % 2 === 1) assert.deepEqual([status, complete], [206, false])
  assert.equal(upstream.count(lineOf(blob)), 1)
})

test('ranges of a cold blob, each read to the end, are one download (L94, P12)', async () => {
  const open = holdHalf()
  const size = blob.bytes.length
  const starts = Array.from({ length: 16 }, (_, at) => Math.floor((at * size) / 16) + 1)
  const pulls = ask(16, (at) => ({ from: starts[at] ?? 0 }))
  await eventually('all have asked', async () => (await inFlight()) === 16)
  open()
  const replies = await Promise.all(pulls)
  assert.deepEqual(
    replies.map(({ status, complete, size: came }) => [status, complete, came]),
    starts.map((start) => [206, true, size - start]),
  )
  assert.equal(upstream.count(lineOf(blob)), 1)
})

test('everybody has first bytes before the upstream has sent the last', async () => {
  const everybody = createBarrier(20)
  const open = holdHalf()
  const pulls = ask(20, () => ({ onFirst: () => void everybody() }))
  // Were anybody to wait for the end, this would not end.
  await everybody().then(open)
  assertWhole(await Promise.all(pulls))
})

test('a body that is cut twice is one body to all who read it (U29)', async () => {
  const size = blob.bytes.length
  upstream.on(lineOf(blob), answerUpTo(blob.bytes, size / 4), 1)
  upstream.on(lineOf(blob), answerUpTo(blob.bytes, size / 2), 1)
  assertWhole(await Promise.all(ask(30)))
  const ranges = upstream.requests.flatMap(({ path, headers }) =>
    path.includes(blob.digest) ? [headers['range']] : [],
  )
  assert.equal(ranges.length, 3)
  const [first, second, third] = ranges.map((range) => Number(range?.replace(/\D/g, '') ?? 0))
  assert.equal(first, 0)
  assert.ok(0 < Number(second) && Number(second) <= size / 4, `resumed at ${second}`)
  assert.ok(Number(second) < Number(third) && Number(third) <= size / 2, `resumed at ${third}`)
  assert.equal(await berth.metric(`berth_fill_resumes_total{upstream="${host()}"}`), 2)
})

test('the first client leaves, and those who came after it get everything (L86)', async () => {
  const open = holdHalf()
  const everybody = createBarrier(51)
  const left = Promise.withResolvers<void>()
  const first = getCompared(urlOf(blob), blob.bytes, {
    onFirst: () => void everybody(),
    hangUpAfter: 1,
  }).finally(left.resolve)
  const followers = ask(50, () => ({ onFirst: () => void everybody() }))
  await Promise.all([everybody(), left.promise])
  open()
  assert.equal((await first).complete, false)
  assertWhole(await Promise.all(followers))
  assert.equal(upstream.count(lineOf(blob)), 1)
})

test('all clients leave, and the blob is there for the next one (L87)', async () => {
  const open = holdHalf()
  const replies = await Promise.all(ask(10, () => ({ hangUpAfter: 1 })))
  for (const { complete } of replies) assert.equal(complete, false)
  await eventually('all have left', async () => (await inFlight()) === 0)
  open()
  await eventually('it is cached', async () => (await berth.metric('berth_cache_blobs')) === 1)
  assert.equal(await pullBlob(berth, 'p/r', blob), 'hit')
  assert.equal(upstream.count(lineOf(blob)), 1)
})

test('where there is no room in the cache, a download ends with its client (L87)', async () => {
  const storage = { cache: { maxSize: '100KB' } }
  await berth.start({ config: { upstreams: [{ url: upstream.url }], storage } })
  holdHalf()
  const [reply] = await Promise.all(ask(1, () => ({ hangUpAfter: 1 })))
  assert.equal(reply?.headers['x-cache'], 'bypass')
  const asked = upstream.requests.filter(({ path }) => path.includes(blob.digest))
  assert.equal(asked.length, 1)
  await eventually('its connection is closed', () => asked[0]?.socket.destroyed === true)
})

for (const [what, breakDown] of Object.entries({
  'breaks, and answers no more': () => upstream.on(lineOf(blob), ({ reset }) => reset()),
  'breaks, and answers 500': () => upstream.on(lineOf(blob), ({ reply }) => reply(500)),
})) {
  test(`an upstream that ${what}, is asked a few times for all, and all are cut off (L89, INV-22)`, async () => {
    const size = blob.bytes.length
    const gate = Promise.withResolvers<void>()
    upstream.on(
      lineOf(blob),
      async ({ head, write, reset }) => {
        head(200, { 'content-length': String(size) })
        await write(blob.bytes.subarray(0, size * 0.6))
        await gate.promise
        reset()
      },
      1,
    )
    breakDown()
    const everybody = createBarrier(30)
    const pulls = ask(30, () => ({ onFirst: () => void everybody() }))
    await everybody().then(gate.resolve)
    for (const { status, size: came, complete } of await Promise.all(pulls)) {
      assert.deepEqual([status, complete], [200, false])
      assert.ok(came <= size * 0.6)
    }
    const asked = upstream.count(lineOf(blob))
    assert.ok(asked <= 1 + 6, `${asked} requests`)
    const late = await Promise.all(ask(30))
    for (const { status } of late) assert.equal(status, 503)
    assert.equal(upstream.count(lineOf(blob)), asked, 'what failed just now is not tried again')
  })
}

test('a slow reader of a blob on its way does not hold up the fast ones (L90)', async () => {
  blob = served(large)
  const open = holdHalf()
  const slow = await connectRaw(berth.url, { paused: true })
  slow.ask(`${lineOf(blob)} HTTP/1.1`, 'Host: x')
  await eventually('it reads', async () => (await inFlight()) === 1)
  const everybody = createBarrier(10)
  const fast = ask(10, () => ({ onFirst: () => void everybody() }))
  await everybody().then(open)
  assertWhole(await Promise.all(fast))
  assert.equal(await inFlight(), 1)
  slow.resume()
  assert.ok((await slow.reply()).body.equals(blob.bytes))
  slow.socket.destroy()
})

test('a download that does not end is ended, its clients with it, and the next one is another (L96, INV-8)', async (t) => {
  const clock = useForwardClock(t)
  const limits = { fillDeadline: '1s' }
  await berth.start({ config: { upstreams: [{ url: upstream.url }], limits } })
  holdHalf()
  for (const { status, complete } of await Promise.all(ask(10)))
    assert.deepEqual([status, complete], [200, false])
  await eventually('it is over', async () => (await berth.metric('berth_fills_in_flight')) === 0)
  upstream.behave()
  clock.advance(2001)
  await settle()
  assert.equal(await pullBlob(berth, 'p/r', blob), 'miss')
})

for (const sendfile of [true, false]) {
  const how = sendfile ? 'by the kernel' : 'by reading'
  test(`fifty readers who take nothing of a blob do not have a copy of it each, sent ${how} (L90, L99)`, async () => {
    blob = served(large)
    await berth.start({ config: { upstreams: [{ url: upstream.url }], sendfile } })
    // What a first pull makes is there before anything is measured.
    await pullBlob(berth, 'p/r', served(1_000_000))
    const before = held()
    const readers = await Promise.all(
      Array.from({ length: 50 }, () => connectRaw(berth.url, { paused: true })),
    )
    for (const reader of readers) reader.ask(`${lineOf(blob)} HTTP/1.1`, 'Host: x')
    await eventually('all read', async () => (await inFlight()) === 50)
    await eventually('it is cached', async () => (await berth.metric('berth_cache_blobs')) === 2)
    await settle()
    const during = held()
    for (const reader of readers) reader.reset()
    // What is not collected yet counts as well.
    assert.ok(during - before < 10 * large, `${during - before} bytes`)
  })
}

/** Bytes of buffers and objects; the upstream and the clients are in this process as well. */
function held(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Downloads that one repository may have at once: half, so that others find a slot. */
const share = 24

test('many blobs at once are so many downloads at most, and all of them come', async () => {
  const blobs = Array.from({ length: 120 }, () => randomBlob(30_000))
  let running = 0
  let most = 0
  const gate = Promise.withResolvers<void>()
  for (const one of blobs) {
    upstream.on(lineOf(one), async ({ reply }) => {
      running += 1
      most = Math.max(most, running)
      await gate.promise
      running -= 1
      reply(200, {}, one.bytes)
    })
  }
  const pulls = blobs.map((one) => pullBlob(berth, 'p/r', one))
  await eventually('all places are taken', () => running === share)
  await settle()
  const connections = new Set(upstream.requests.map(({ socket }) => socket).filter(isOpen))
  assert.ok(connections.size <= share, `${connections.size} connections`)
  gate.resolve()
  assert.deepEqual(new Set(await Promise.all(pulls)), new Set(['miss']))
  assert.equal(most, share)
})

function isOpen({ destroyed }: { readonly destroyed: boolean }): boolean {
  return !destroyed
}
