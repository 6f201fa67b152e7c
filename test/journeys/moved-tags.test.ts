import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { codeOf, get } from '../support/client.ts'
import { useForwardClock } from '../support/clock.ts'
import { type Image, makeImage } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import type { Exchange } from '../support/scripted-upstream.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const name = 'p/r'
const upstream = await useUpstream()
const everything = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]
const berth = useBerth({
  config: {
    upstreams: [{ url: upstream.url, tags: { ttl: '60s', staleIfError: '1h' } }],
    auth: { access: everything },
  },
})
let image: Image
let gone: Image
let moved: Image

beforeEach(() => {
  ;[image, gone, moved] = [makeImage(), makeImage(), makeImage()]
  upstream.put(name, 'v1', image)
})

const tag = () => get(`${berth.url}/v2/${name}/manifests/v1`)
const pointsTo =
  ({ digest, mediaType, bytes }: Image) =>
  ({ reply }: Exchange) =>
    reply(200, {
      'docker-content-digest': digest,
      'content-type': mediaType,
      'content-length': `${bytes.length}`,
    })
const unknown = ({ reply }: Exchange) => reply(404, {}, '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')

test('a tag that moves while it is compared, and whose image is deleted then, is what it points to now', async (t) => {
  const clock = useForwardClock(t)
  await pullImage(berth, name, image, 'v1')
  upstream.put(name, 'v1', moved)
  upstream.on('HEAD /v2/p/r/manifests/v1', pointsTo(gone), 1)
  clock.advance(61_000)
  await pullImage(berth, name, moved, 'v1')
})

test('a tag that is deleted while it is compared is gone', async (t) => {
  const clock = useForwardClock(t)
  await pullImage(berth, name, image, 'v1')
  upstream.untag(name, 'v1')
  upstream.on('HEAD /v2/p/r/manifests/v1', pointsTo(gone), 1)
  clock.advance(61_000)
  assert.equal((await tag()).status, 404)
})

test('a registry that has a tag and never its manifest is broken: what was there before is stale', async (t) => {
  const clock = useForwardClock(t)
  await pullImage(berth, name, image, 'v1')
  upstream.on('HEAD /v2/p/r/manifests/v1', pointsTo(gone))
  clock.advance(61_000)
  const { status, headers, body } = await tag()
  assert.deepEqual([status, headers['x-cache'], body], [200, 'stale', image.bytes])
  assert.match(`${headers.warning}`, /but not the manifest/)
})

test('a tag whose image was evicted here, and is deleted there when the tag moves, is what it points to now', async () => {
  await evictAndRestart()
  upstream.on(`GET /v2/${name}/manifests/${image.digest}`, unknown)
  upstream.on(`HEAD /v2/${name}/manifests/v1`, pointsTo(image), 1)
  upstream.put(name, 'v1', moved)
  await pullImage(berth, name, moved, 'v1')
})

test('a registry that has a tag and never its manifest is broken: what was evicted here is 502', async () => {
  await evictAndRestart()
  upstream.on(`GET /v2/${name}/manifests/${image.digest}`, unknown)
  const reply = await tag()
  assert.equal(reply.status, 502)
  assert.equal(codeOf(reply), 'UNAVAILABLE')
})

test('a registry that has a tag and not its manifest is asked for it once within some seconds', async () => {
  await evictAndRestart()
  upstream.on(`GET /v2/${name}/manifests/${image.digest}`, unknown)
  assert.equal((await tag()).status, 502)
  const asked = upstream.requests.length
  for (let times = 0; times < 3; times += 1) assert.equal((await tag()).status, 502)
  assert.equal(upstream.requests.length, asked)
})

/** What the tag points to is remembered on the disk. */
async function evictAndRestart(): Promise<void> {
  await pullImage(berth, name, image, 'v1')
  const url = `${berth.url}/api/repositories/${name}/-/evict/v1`
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(url, { method: 'POST', headers, body: '{}' })
  assert.equal(response.status, 200, await response.text())
  await berth.restart()
}
