import assert from 'node:assert/strict'
import { beforeEach, type TestContext, test } from 'node:test'
import { eventually } from '../support/berth.ts'
import { codeOf, get, type Reply } from '../support/client.ts'
import { useClock, useForwardClock } from '../support/clock.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { getBlob, pullBlob, pullImage } from '../support/pull.ts'
import { settle } from '../support/remotes.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const name = 'p/r'
const second = 1000
const ttl = 60 * second
const staleIfError = 3600 * second
/** How long "there is none" is believed. */
const absenceLife = 5 * second
const upstream = await useUpstream()
const tags = { ttl: '60s', staleIfError: '1h', immutable: ['release-*'] }
const berth = useBerth({ config: { upstreams: [{ url: upstream.url, tags }] } })
let image: Image

beforeEach(() => {
  image = makeImage()
  upstream.put(name, 'v1', image)
})

const urlOf = (reference: string) => `${berth.url}/v2/${name}/manifests/${reference}`
const tag = (reference = 'v1') => get(urlOf(reference))
const herd = (clients: number): Promise<readonly Reply[]> =>
  Promise.all(Array.from({ length: clients }, () => tag()))

/** Requests for the tag since `from`. */
function asked(from: number): readonly string[] {
  return upstream.requests
    .slice(from)
    .map(({ method, path }) => `${method} ${path.split('/').at(-1)}`)
}

/** Lets time go by. */
function timeOf(t: TestContext): (milliseconds: number) => Promise<void> {
  const clock = useForwardClock(t)
  return async (milliseconds) => {
    clock.advance(milliseconds)
    await settle()
  }
}

test('a tag is believed for its time to live, and then asked for by one HEAD', async (t) => {
  const pass = timeOf(t)
  await pullImage(berth, name, image, 'v1')
  const before = upstream.requests.length
  await pass(ttl - 10 * second)
  assert.equal((await tag()).headers['x-cache'], 'hit')
  assert.deepEqual(asked(before), [])
  await pass(10 * second)
  assert.deepEqual((await tag()).body, image.bytes)
  assert.deepEqual(asked(before), ['HEAD v1'])
  await tag()
  assert.deepEqual(asked(before), ['HEAD v1'])
})

test('a tag that moved is the old image within its time to live, and the new one after it (P5)', async (t) => {
  const pass = timeOf(t)
  await pullImage(berth, name, image, 'v1')
  const moved = makeImage()
  upstream.put(name, 'v1', moved)
  await pullImage(berth, name, image, 'v1')
  await pass(ttl + 1)
  await pullImage(berth, name, moved, 'v1')
  await pullImage(berth, name, image)
})

test('a hundred clients on a tag that has expired are one question (C82)', async (t) => {
  const pass = timeOf(t)
  await pullImage(berth, name, image, 'v1')
  await pass(ttl + 1)
  const before = upstream.requests.length
  for (const { status, body } of await herd(100)) {
    assert.equal(status, 200)
    assert.deepEqual(body, image.bytes)
  }
  assert.deepEqual(asked(before), ['HEAD v1'])
})

test('a hundred clients on a tag that nobody has asked for are one question', async () => {
  const before = upstream.requests.length
  const gate = Promise.withResolvers<void>()
  upstream.on('manifests/v1', async ({ reply }) => {
    await gate.promise
    reply(200, { 'content-type': image.mediaType }, image.bytes)
  })
  const replies = herd(100)
  const waiting = () => berth.metric('berth_http_in_flight')
  await eventually('all have asked', async () => (await waiting()) === 100)
  gate.resolve()
  for (const { body } of await replies) assert.deepEqual(body, image.bytes)
  assert.deepEqual(asked(before), ['GET v1'])
})

test('a tag that is gone at the upstream is gone here, and its image stays (U44)', async (t) => {
  const pass = timeOf(t)
  await pullImage(berth, name, image, 'v1')
  upstream.untag(name, 'v1')
  await pass(ttl + 1)
  const gone = await tag()
  assert.deepEqual([gone.status, codeOf(gone)], [404, 'MANIFEST_UNKNOWN'])
  await pullImage(berth, name, image)
  await upstream.stop()
  try {
    await pass(absenceLife + 1)
    // It is not brought back by an upstream that can no longer say so.
    assert.equal((await tag()).status, 503)
    await berth.restart()
    assert.equal((await tag()).status, 503)
  } finally {
    await upstream.start()
  }
})

test('a manifest that is gone at the upstream is served by its digest (U44)', async () => {
  await pullImage(berth, name, image, 'v1')
  upstream.on('/v2/', ({ reply }) => reply(404))
  await pullImage(berth, name, image)
  await berth.restart()
  await pullImage(berth, name, image)
})

test('what was not there and then is pushed is found within five seconds, and not asked for again and again (U45)', async (t) => {
  const pass = timeOf(t)
  const pushed = makeImage()
  const before = upstream.requests.length
  for (let times = 0; times < 20; times += 1) {
    assert.equal((await tag('new')).status, 404)
    assert.equal((await get(urlOf(pushed.digest))).status, 404)
  }
  assert.equal(asked(before).length, 2)
  upstream.put(name, 'new', pushed)
  await pass(absenceLife + 1)
  await pullImage(berth, name, pushed, 'new')
})

test('a blob that was not there and then is pushed is found within five seconds (U45)', async (t) => {
  const pass = timeOf(t)
  const pushed = randomBlob(1000)
  for (let times = 0; times < 20; times += 1)
    assert.equal((await getBlob(berth, name, pushed)).status, 404)
  assert.equal(upstream.count(`GET /v2/${name}/blobs/${pushed.digest}`), 1)
  upstream.putBlob(name, pushed)
  await pass(absenceLife + 1)
  await pullBlob(berth, name, pushed)
})

test('while the upstream is down a tag is stale, as long as it may, and then an error (U56)', async (t) => {
  const pass = timeOf(t)
  await pullImage(berth, name, image, 'v1')
  await upstream.stop()
  try {
    await pass(ttl + 1)
    for (let times = 0; times < 3; times += 1) {
      const stale = await tag()
      assert.equal(stale.headers['x-cache'], 'stale')
      assert.match(String(stale.headers['warning']), /^299 - "/)
      await pass(staleIfError / 4)
    }
    const label = `upstream="${new URL(upstream.url).host}",kind="tag",result="stale"`
    assert.equal(await berth.metric(`berth_cache_requests_total{${label}}`), 3)
    await pass(staleIfError / 2)
    const late = await tag()
    assert.deepEqual([late.status, codeOf(late)], [503, 'UNAVAILABLE'])
    await pullImage(berth, name, image)
  } finally {
    await upstream.start()
  }
})

test('while the upstream is down lists are stale, as long as they may, and then an error', async (t) => {
  const pass = timeOf(t)
  const lists = [`tags/list`, `referrers/${image.digest}`]
  const ask = () => Promise.all(lists.map((list) => get(`${berth.url}/v2/${name}/${list}`)))
  const first = await ask()
  assert.ok(JSON.parse(String(first[0]?.body)).tags.includes('v1'))
  await upstream.stop()
  try {
    await pass(ttl + second)
    for (const [at, stale] of (await ask()).entries()) {
      assert.deepEqual([stale.status, stale.headers['x-cache']], [200, 'stale'])
      assert.match(String(stale.headers['warning']), /^299 - "/)
      assert.deepEqual(stale.body, first[at]?.body)
    }
    await pass(staleIfError)
    for (const { status } of await ask()) assert.equal(status, 503)
  } finally {
    await upstream.start()
  }
  await pass(ttl)
  for (const { headers } of await ask()) assert.equal(headers['x-cache'], 'miss')
})

test('when an upstream is back, a herd on its stale tags is one question for each (U56)', async (t) => {
  const pass = timeOf(t)
  const names = Array.from({ length: 10 }, (_, at) => `tag-${at}`)
  for (const one of names) {
    upstream.put(name, one, image)
    await tag(one)
  }
  await upstream.stop()
  try {
    await pass(ttl + 1)
    for (const one of names) assert.equal((await tag(one)).headers['x-cache'], 'stale')
  } finally {
    await upstream.start()
  }
  await pass(60 * second)
  // From now on no time passes: otherwise tags are stale for the clients of a slow machine.
  useClock(t, ['setTimeout'])
  const before = upstream.requests.length
  const replies = await Promise.all(
    names.flatMap((one) => Array.from({ length: 20 }, () => tag(one))),
  )
  for (const { status, headers } of replies)
    assert.deepEqual([status, headers['warning']], [200, undefined])
  assert.deepEqual(asked(before).toSorted(), names.map((one) => `HEAD ${one}`).toSorted())
})

const ways: Readonly<Record<string, (moved: Image) => void>> = {
  'is not there': (moved) =>
    upstream.on(`GET /v2/${name}/manifests/${moved.digest}`, ({ reply }) => reply(404)),
  'is another one': (moved) =>
    upstream.on(`manifests/${moved.digest}`, ({ reply }) => reply(200, {}, image.bytes)),
  'is none': () => upstream.on(`GET /v2/${name}/manifests/`, ({ reply }) => reply(200, {}, '{}')),
}

for (const [what, misbehave] of Object.entries(ways)) {
  test(`a tag whose new manifest ${what} stays where it was, with a warning (INV-17)`, async (t) => {
    const pass = timeOf(t)
    await pullImage(berth, name, image, 'v1')
    const moved = makeImage()
    upstream.put(name, 'v1', moved)
    misbehave(moved)
    await pass(ttl + 1)
    await pullImage(berth, name, image, 'v1')
    assert.equal((await tag()).headers['x-cache'], 'stale')
    upstream.behave()
    await pass(ttl + 1)
    await pullImage(berth, name, moved, 'v1')
  })
}

test('a tag that is refused is refused, however well it is known', async (t) => {
  const pass = timeOf(t)
  await pullImage(berth, name, image, 'v1')
  upstream.on('/v2/', ({ reply }) => reply(403))
  await pass(ttl + 1)
  const refused = await tag()
  assert.deepEqual([refused.status, codeOf(refused)], [403, 'DENIED'])
})

test('a tag that never moves is asked for once, and never again, restarts included', async (t) => {
  const pass = timeOf(t)
  upstream.put(name, 'release-1', image)
  await pullImage(berth, name, image, 'release-1')
  const before = upstream.requests.length
  upstream.put(name, 'release-1', makeImage())
  await pass(24 * staleIfError)
  await pullImage(berth, name, image, 'release-1')
  await berth.restart()
  await pullImage(berth, name, image, 'release-1')
  assert.deepEqual(asked(before), [])
})
