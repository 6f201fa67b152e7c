import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { eventually, visibleBlobs } from '../support/berth.ts'
import { codeOf, get } from '../support/client.ts'
import { useForwardClock } from '../support/clock.ts'
import { type Blob, makeImage, randomBlob } from '../support/images.ts'
import { getBlob, pullBlob, pullImage } from '../support/pull.ts'
import { settle } from '../support/remotes.ts'
import {
  type Answering,
  answerInTwo,
  answerUpTo,
  type Exchange,
} from '../support/scripted-upstream.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const name = 'p/r'
const size = 300_000
/** For how long a download that failed is not tried again, in milliseconds. */
const failureLife = 2000
/** What always breaks is given up soon, and after few attempts. */
const limits = { fillStall: '500ms' }
const maxAttempts = 6
const upstream = await useUpstream()
const berth = useBerth({ config: { upstreams: [{ url: upstream.url }], limits } })
let blob: Blob

beforeEach(() => {
  blob = served()
})

function served(): Blob {
  const blob = randomBlob(size)
  upstream.putBlob(name, blob)
  return blob
}

const lineOf = ({ digest }: Blob) => `GET /v2/${name}/blobs/${digest}`
const running = () => berth.metric('berth_fills_in_flight')
const mismatches = () =>
  berth.metric(`berth_digest_mismatch_total{upstream="${new URL(upstream.url).host}"}`)

/** The right length, and one wrong byte, in the first half. */
function wrongBytes({ bytes }: Blob): Buffer {
  const wrong = Buffer.from(bytes)
  wrong.writeUInt8(wrong.readUInt8(1000) ^ 1, 1000)
  return wrong
}

const half = ({ bytes }: Blob) => bytes.subarray(0, size / 2)
const whole = { 'content-length': String(size) }

/** What may happen once, and must not be noticed. */
const mishaps: Readonly<Record<string, (blob: Blob) => Answering>> = {
  'breaks in its middle (U29)': ({ bytes }) => answerUpTo(bytes, size / 2),
  'breaks before its first byte (U29)': ({ bytes }) => answerUpTo(bytes, 0),
  'breaks before its last byte (U29)': ({ bytes }) => answerUpTo(bytes, size - 1),
  'ends early, with a length (U31)': (blob) => async (exchange) => {
    exchange.head(200, whole)
    await exchange.write(half(blob))
    exchange.end()
  },
}

for (const [what, answer] of Object.entries(mishaps)) {
  test(`a body that ${what} once is whole to the client, and cached`, async () => {
    upstream.on(lineOf(blob), answer(blob), 1)
    assert.equal(await pullBlob(berth, name, blob), 'miss')
    assert.equal(await pullBlob(berth, name, blob), 'hit')
    assert.equal(upstream.count(lineOf(blob)), 2)
  })
}

test('a body that stands still in its middle is gone on with on another connection (U27)', async () => {
  await restartImpatient()
  upstream.on(lineOf(blob), standStill, 1)
  assert.equal(await pullBlob(berth, name, blob), 'miss')
  assert.equal(upstream.count(lineOf(blob)), 2)
})

test('a body that always stands still is an answer that is cut off, and not cached (U27)', async () => {
  await restartImpatient()
  upstream.on(lineOf(blob), standStill)
  const reply = await getBlob(berth, name, blob)
  assert.deepEqual([reply.status, reply.complete], [200, false])
  assert.deepEqual(await visibleBlobs(berth.cache), [])
  assert.ok(upstream.count(lineOf(blob)) <= maxAttempts)
})

test('a body that trickles is gone on with on another connection (U28)', async (t) => {
  await berth.start({ config: { upstreams: [{ url: upstream.url }] } })
  const clock = useForwardClock(t)
  const begun = Promise.withResolvers<Exchange>()
  upstream.on(lineOf(blob), begun.resolve, 1)
  const pull = pullBlob(berth, name, blob)
  const { head, write } = await begun.promise
  head(200, whole)
  for (let at = 0; upstream.count(lineOf(blob)) === 1; at += 1) {
    assert.ok(at < 20, 'it is given up')
    void write(blob.bytes.subarray(at, at + 1))
    await settle()
    clock.advance(6000)
  }
  assert.equal(await pull, 'miss')
})

async function restartImpatient(): Promise<void> {
  const timeouts = { idle: '500ms' }
  await berth.start({ config: { upstreams: [{ url: upstream.url, timeouts }], limits } })
}

function standStill({ head, write }: Exchange): void {
  head(200, whole)
  void write(half(blob))
}

test('a body that breaks is fetched from its beginning where ranges are unknown (U29)', async () => {
  upstream.on(lineOf(blob), answerUpTo(blob.bytes, size / 2), 1)
  upstream.on(lineOf(blob), ({ reply }) => reply(200, {}, blob.bytes))
  assert.equal(await pullBlob(berth, name, blob), 'miss')
  assert.equal(upstream.requests.at(-1)?.headers['range']?.startsWith('bytes='), true)
})

test('a body that goes on as another one is not complete, and not cached (U29, U34)', async () => {
  const other = randomBlob(size)
  upstream.on(lineOf(blob), answerUpTo(blob.bytes, size / 2), 1)
  upstream.on(lineOf(blob), answerUpTo(other.bytes, size))
  // The reset may overtake the first half: then nothing was sent, and the client gets an error.
  const { status, complete } = await getBlob(berth, name, blob)
  assert.ok(status === 502 || (status === 200 && !complete))
  assert.deepEqual(await visibleBlobs(berth.cache), [])
  await eventually('it is counted', async () => (await mismatches()) === 1)
})

test('a body that breaks and then has another size is not complete, and not cached (U29, T18)', async () => {
  const longer = Buffer.concat([blob.bytes, Buffer.from('x')])
  upstream.on(lineOf(blob), answerUpTo(blob.bytes, size / 2), 1)
  upstream.on(lineOf(blob), answerUpTo(longer, longer.length))
  // It may be found out before anything was sent.
  const { status, complete } = await getBlob(berth, name, blob)
  assert.ok(status === 502 || (status === 200 && !complete))
  assert.deepEqual(await visibleBlobs(berth.cache), [])
})

/** What happens each time, and must be an error or an answer that is cut off. */
const faults: Readonly<Record<string, (blob: Blob) => Answering>> = {
  'breaks in its middle (U29)': (blob) => async (exchange) => {
    exchange.head(200, whole)
    await exchange.write(half(blob))
    exchange.reset()
  },
  'ends early, with a length (U31)': (blob) => async (exchange) => {
    exchange.head(200, whole)
    await exchange.write(half(blob))
    exchange.end()
  },
  'ends early, without a length (U32)': (blob) => async (exchange) => {
    exchange.head(200)
    await exchange.write(half(blob))
    exchange.end()
  },
  'breaks, without a length (U32)': (blob) => async (exchange) => {
    exchange.head(200)
    await exchange.write(half(blob))
    exchange.reset()
  },
  'is shorter than it should be (U33)': (blob) => (exchange) => exchange.reply(200, {}, half(blob)),
  'is longer than it should be (U33)': (blob) => (exchange) =>
    exchange.reply(200, {}, Buffer.concat([blob.bytes, Buffer.from('x')])),
  'is longer than its length says (U33)': (blob) => (exchange) =>
    exchange.reply(200, { 'content-length': String(size / 2) }, blob.bytes),
  'has wrong bytes (U34)': (blob) => (exchange) => exchange.reply(200, {}, wrongBytes(blob)),
  'has wrong bytes, and no length (U34)': (blob) => async (exchange) => {
    exchange.head(200)
    await exchange.write(wrongBytes(blob))
    exchange.end()
  },
  'is empty': () => (exchange) => exchange.reply(200),
}

for (const known of [true, false]) {
  const size = known ? 'known' : 'unknown'
  for (const [what, answer] of Object.entries(faults)) {
    test(`a body that ${what} is never complete nor cached, its size being ${size}, and comes when all is well`, async (t) => {
      const clock = useForwardClock(t)
      const image = makeImage({ layers: [blob] })
      upstream.put(name, undefined, image)
      if (known) await get(`${berth.url}/v2/${name}/manifests/${image.digest}`)
      const before = await visibleBlobs(berth.cache)
      upstream.on(lineOf(blob), answer(blob))

      const reply = await getBlob(berth, name, blob)
      assert.ok(reply.status >= 502 || (reply.status === 200 && !reply.complete))
      assert.deepEqual(await visibleBlobs(berth.cache), before)
      assert.ok(upstream.count(lineOf(blob)) <= maxAttempts)

      await eventually('it is over', async () => (await running()) === 0)
      upstream.behave()
      clock.advance(failureLife + 1)
      await settle()
      await pullBlob(berth, name, blob)
    })
  }
}

test('the end of wrong bytes is kept back, and the fault is counted and told with its origin (U34)', async () => {
  const begun = Promise.withResolvers<void>()
  upstream.on(lineOf(blob), answerInTwo(wrongBytes(blob), size / 2, begun.promise))
  const url = `${berth.url}/v2/${name}/blobs/${blob.digest}`
  const reply = await get(url, { onData: () => begun.resolve() })
  assert.deepEqual([reply.status, reply.complete], [200, false])
  assert.ok(reply.body.length < size)
  await eventually('it is over', async () => (await running()) === 0)
  assert.equal(await mismatches(), 1)
  assert.equal(await berth.metric('berth_http_short_responses_total'), 1)
  const told = berth.logs().find(({ msg }) => msg === 'fill failed')
  assert.equal(told?.['origin'], upstream.url)
  assert.equal(told?.['repository'], name)
  assert.equal(told?.['digest'], blob.digest)
})

test('wrong bytes are fetched once in a while, however many ask (U35)', async () => {
  upstream.on(lineOf(blob), ({ reply }) => reply(200, {}, wrongBytes(blob)))
  const began = performance.now()
  for (let rounds = 0; rounds < 3; rounds += 1) {
    const replies = await Promise.all(
      Array.from({ length: 100 }, () => getBlob(berth, name, blob).catch(() => undefined)),
    )
    for (const reply of replies) assert.ok(reply?.status === 502 || reply?.complete !== true)
  }
  const most = 1 + Math.floor((performance.now() - began) / failureLife)
  assert.ok(upstream.count(lineOf(blob)) <= most, `${upstream.count(lineOf(blob))} of ${most}`)
  const late = await getBlob(berth, name, blob)
  assert.equal(late.status, 502)
  assert.equal(codeOf(late), 'DIGEST_INVALID')
})

for (const [what, answer] of Object.entries(mishaps)) {
  test(`a body that ${what} once, and finds no room in the cache, is whole to each client`, async () => {
    await restartWithoutRoom()
    upstream.on(lineOf(blob), answer(blob), 1)
    const pulls = Array.from({ length: 5 }, () => pullBlob(berth, name, blob))
    assert.deepEqual(new Set(await Promise.all(pulls)), new Set(['bypass']))
  })
}

for (const [what, answer] of Object.entries(faults)) {
  test(`a body that ${what}, and finds no room in the cache, is complete to no client`, async () => {
    await restartWithoutRoom()
    upstream.on(lineOf(blob), answer(blob))
    const pulls = Array.from({ length: 5 }, () => getBlob(berth, name, blob))
    for (const { status, complete } of await Promise.all(pulls))
      assert.ok(status >= 502 || (status === 200 && !complete))
    // Each has a download of its own.
    assert.ok(upstream.count(lineOf(blob)) <= 5 * maxAttempts)
  })
}

async function restartWithoutRoom(): Promise<void> {
  const storage = { cache: { maxSize: '100KB' } }
  await berth.start({ config: { upstreams: [{ url: upstream.url }], storage, limits } })
}

test('a manifest of wrong bytes is an error, is not cached, and is fetched when it is right (P4, U35)', async (t) => {
  const clock = useForwardClock(t)
  const image = makeImage()
  upstream.put(name, undefined, image)
  upstream.on(`manifests/${image.digest}`, ({ reply }) =>
    reply(200, { 'content-type': image.mediaType }, makeImage().bytes),
  )
  const url = `${berth.url}/v2/${name}/manifests/${image.digest}`
  const replies = await Promise.all(Array.from({ length: 50 }, () => get(url)))
  for (const reply of replies)
    assert.deepEqual([reply.status, codeOf(reply)], [502, 'DIGEST_INVALID'])
  assert.ok(upstream.count(`manifests/${image.digest}`) <= 3)
  upstream.behave()
  clock.advance(failureLife)
  await settle()
  await pullImage(berth, name, image)
})
