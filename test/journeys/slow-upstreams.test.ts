import assert from 'node:assert/strict'
import { beforeEach, type TestContext, test } from 'node:test'
import { eventually } from '../support/berth.ts'
import { codeOf, get } from '../support/client.ts'
import { useForwardClock } from '../support/clock.ts'
import { type Image, makeImage } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import { settle } from '../support/remotes.ts'
import type { Answering } from '../support/scripted-upstream.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const name = 'p/r'
const other = 'p/other'
const minute = 60_000
const upstream = await useUpstream()
const tags = { ttl: '60s', staleIfError: '1h' }
const berth = useBerth({ config: { upstreams: [{ url: upstream.url, tags }] } })
let image: Image

beforeEach(() => {
  image = makeImage()
  upstream.put(name, 'v1', image)
  upstream.put(other, 'v1', image)
})

const tag = (of = name) => get(`${berth.url}/v2/${of}/manifests/v1`)

function timeOf(t: TestContext): (milliseconds: number) => Promise<void> {
  const clock = useForwardClock(t)
  return async (milliseconds) => {
    clock.advance(milliseconds)
    await settle()
  }
}

/** Holds what is asked of `p/r` until the gate opens, and answers rightly then. */
function holdBack(found: () => Image): () => void {
  const gate = Promise.withResolvers<void>()
  const answer: Answering = async ({ method, reply, head }) => {
    await gate.promise
    const { mediaType, digest, bytes } = found()
    const headers = { 'content-type': mediaType, 'docker-content-digest': digest }
    if (method === 'HEAD') head(200, { ...headers, 'content-length': String(bytes.length) })
    else reply(200, headers, bytes)
  }
  upstream.on(`/v2/${name}/manifests/`, answer)
  return gate.resolve
}

test('while a slow upstream is asked, by one request, clients get the stale tag, and then the new one (C204)', async (t) => {
  const pass = timeOf(t)
  await pullImage(berth, name, image, 'v1')
  const moved = makeImage()
  upstream.put(name, 'v1', moved)
  const answer = holdBack(() => moved)
  await pass(minute + 1)
  const before = upstream.requests.length
  for (let times = 0; times < 5; times += 1) {
    const stale = await tag()
    assert.deepEqual([stale.status, stale.headers['x-cache']], [200, 'stale'])
    assert.match(String(stale.headers['warning']), /has not responded yet/)
    assert.deepEqual(stale.body, image.bytes)
  }
  assert.equal(upstream.requests.length - before, 1)
  // Another repository does not wait for it, and is not stale.
  assert.deepEqual((await tag(other)).headers['x-cache'], 'miss')
  answer()
  await eventually('the tag is revalidated', async () => (await tag()).body.equals(moved.bytes))
  assert.equal((await tag()).headers['warning'], undefined)
})

test('a tag that may not be stale any more waits for its slow upstream, and is no error (C204)', async (t) => {
  const pass = timeOf(t)
  await pullImage(berth, name, image, 'v1')
  const answer = holdBack(() => image)
  await pass(61 * minute)
  const late = tag()
  // Longer than those wait who have a stale answer.
  setTimeout(answer, 2000)
  const { status, headers } = await late
  assert.deepEqual([status, headers['warning']], [200, undefined])
})

test('after a restart a slow upstream does not keep clients from the tag on the disk (C204)', async (t) => {
  const pass = timeOf(t)
  await pullImage(berth, name, image, 'v1')
  await berth.restart()
  const answer = holdBack(() => image)
  await pass(minute + 1)
  assert.equal((await tag()).headers['x-cache'], 'stale')
  answer()
  await eventually(
    'the tag is revalidated',
    async () => (await tag()).headers['warning'] === undefined,
  )
})

for (const [what, status, code] of [
  ['refused', 403, 'DENIED'],
  ['deleted', 404, 'MANIFEST_UNKNOWN'],
] as const) {
  test(`a tag that was ${what} does not come back when the upstream goes down (C212)`, async (t) => {
    const pass = timeOf(t)
    await pullImage(berth, name, image, 'v1')
    upstream.on('/v2/', ({ reply }) => reply(status, {}, `{"errors":[{"code":"${code}"}]}`))
    await pass(minute + 1)
    const gone = await tag()
    assert.deepEqual([gone.status, codeOf(gone)], [status, code])
    await upstream.stop()
    try {
      for (let times = 0; times < 3; times += 1) {
        await pass(minute)
        assert.equal((await tag()).status, 503)
      }
      await berth.restart()
      assert.equal((await tag()).status, 503)
      // What the digest means was never in doubt.
      await pullImage(berth, name, image)
    } finally {
      await upstream.start()
    }
  })
}
