import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import {
  type Berth,
  checkInvariants,
  eventually,
  removeBerth,
  startBerth,
} from '../support/berth.ts'
import { codeOf, get } from '../support/client.ts'
import { useClock } from '../support/clock.ts'
import { type Blob, makeImage, randomBlob } from '../support/images.ts'
import { settle } from '../support/remotes.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

/** Two repositories of one upstream. What is in the first is not therefore in the second (INV 7). */
const mine = 'team/mine'
const yours = 'team/yours'

let upstream: ScriptedUpstream
let berth: Berth
let blob: Blob

before(async () => {
  upstream = await startScriptedUpstream()
})
after(() => upstream.close())
beforeEach(async () => {
  upstream.behave()
  blob = randomBlob(200_000)
  upstream.putBlob(mine, blob)
  berth = await startBerth({ config: { upstreams: [{ url: upstream.url }] } })
})
afterEach(async () => {
  await checkInvariants(berth)
  await removeBerth(berth)
})

const pathOf = (name: string, { digest } = blob) => `/v2/${name}/blobs/${digest}`

function pull(name: string, of = blob) {
  return get(berth.url + pathOf(name, of))
}

test('a cached blob of one repository is requested from the upstream before another repository gets it', async () => {
  assert.equal((await pull(mine)).status, 200)
  const refused = await pull(yours)
  assert.deepEqual([refused.status, codeOf(refused)], [404, 'BLOB_UNKNOWN'])
  assert.equal(upstream.count(`HEAD /v2/${yours}/blobs/${blob.digest}`), 1)
})

test('a blob that the upstream confirms for another repository is served without a second download', async () => {
  await pull(mine)
  upstream.putBlob(yours, blob)
  const asked = upstream.count('GET /v2/team')
  for (let times = 0; times < 3; times += 1) {
    const reply = await pull(yours)
    assert.deepEqual([reply.status, reply.headers['x-cache']], [200, 'hit'])
  }
  assert.equal(upstream.count('GET /v2/team'), asked)
  assert.equal(upstream.count(`HEAD /v2/${yours}/blobs/${blob.digest}`), 1)
})

test('a download for one repository is not joined by another that does not have the blob', async () => {
  const goOn = Promise.withResolvers<void>()
  upstream.on(`GET /v2/${mine}/blobs/`, async ({ head, write }) => {
    head(200, { 'content-length': String(blob.bytes.length) })
    await write(blob.bytes.subarray(0, 100_000))
    await goOn.promise
    await write(blob.bytes.subarray(100_000))
  })
  const first = pull(mine)
  await eventually('the download runs', () => upstream.count(`GET ${pathOf(mine)}`) === 1)
  assert.equal((await pull(yours)).status, 404)
  goOn.resolve()
  assert.equal((await first).status, 200)
})

test('of two repositories that request a blob at the same time, the one that has it gets it', async () => {
  for (let times = 0; times < 20; times += 1) {
    const fresh = randomBlob(1000)
    upstream.putBlob(mine, fresh)
    const [right, wrong] = await Promise.all([pull(mine, fresh), pull(yours, fresh)])
    assert.deepEqual([right.status, wrong.status], [200, 404])
  }
})

test('a blob that the upstream denies to the first repository is fetched for the one that has it', async () => {
  const goOn = Promise.withResolvers<void>()
  upstream.on(`GET /v2/${yours}/blobs/`, async ({ head }) => {
    await goOn.promise
    head(403, { 'content-length': '0' })
  })
  const refused = pull(yours)
  await eventually('it is asked for', () => upstream.count(`GET ${pathOf(yours)}`) === 1)
  const right = Promise.all([pull(mine), pull(mine), pull(mine)])
  await eventually('the other asks', () => upstream.count(`HEAD ${pathOf(mine)}`) === 1)
  goOn.resolve()
  assert.equal((await refused).status, 403)
  for (const { status, body } of await right) {
    assert.equal(status, 200)
    assert.deepEqual(body, blob.bytes)
  }
  assert.equal(upstream.count(`GET ${pathOf(mine)}`), 1)
})

test('HEAD of a blob answers for the requested repository only', async () => {
  await pull(mine)
  const head = (name: string) =>
    get(`${berth.url}/v2/${name}/blobs/${blob.digest}`, { method: 'HEAD' })
  assert.equal((await head(mine)).status, 200)
  assert.equal((await head(yours)).status, 404)
})

test('HEAD of a cached blob has its size, whatever the upstream says to another repository (C203)', async () => {
  await pull(mine)
  upstream.on(`HEAD /v2/${yours}/`, ({ head }) => head(200, { 'content-length': '5' }))
  const { headers } = await get(berth.url + pathOf(yours), { method: 'HEAD' })
  assert.equal(headers['content-length'], String(blob.bytes.length))
})

test('access to a blob stays with its repository after a restart, and while the upstream is down', async () => {
  await pull(mine)
  berth = await berth.restart()
  assert.equal((await pull(mine)).headers['x-cache'], 'hit')
  assert.equal((await pull(yours)).status, 404)
  await upstream.stop()
  try {
    assert.equal((await pull(mine)).status, 200)
    const away = await pull('team/third')
    assert.deepEqual([away.status, codeOf(away)], [503, 'UNAVAILABLE'])
  } finally {
    await upstream.start()
  }
})

test('a denial for one repository does not apply to another (U43)', async () => {
  await pull(mine)
  upstream.on(`/v2/${yours}/`, ({ head }) => head(403, { 'content-length': '0' }))
  const refused = await pull(yours)
  assert.deepEqual([refused.status, codeOf(refused)], [403, 'DENIED'])
  assert.equal((await pull(mine)).status, 200)
})

for (const [status, code] of [
  [403, 'DENIED'],
  [500, 'UNAVAILABLE'],
] as const) {
  test(`an answer of ${status} for a blob that is cached for another repository is cached for a short time (U43)`, async (t) => {
    const clock = useClock(t)
    await pull(mine)
    upstream.on(`/v2/${yours}/`, ({ head }) => head(status, { 'content-length': '0' }))
    assert.equal(codeOf(await pull(yours)), code)
    const asked = upstream.requests.length
    for (let times = 0; times < 10; times += 1) assert.equal(codeOf(await pull(yours)), code)
    assert.equal(upstream.requests.length, asked)
    upstream.behave()
    upstream.putBlob(yours, blob)
    clock.advance(2001)
    await settle()
    assert.equal((await pull(yours)).status, 200)
  })
}

test('a cached manifest of one repository is requested from the upstream for another', async () => {
  const image = makeImage()
  upstream.put(mine, 'v1', image)
  const manifest = (name: string) => get(`${berth.url}/v2/${name}/manifests/${image.digest}`)
  assert.equal((await manifest(mine)).status, 200)
  assert.equal((await manifest(yours)).status, 404)
  assert.equal((await manifest(mine)).headers['x-cache'], 'hit')
})

test("what one repository's manifest says of a blob's size does not hold for another", async () => {
  const layer = randomBlob(5000)
  upstream.put(mine, 'v1', makeImage({ layers: [layer] }))
  const liar = makeImage({ layers: [{ ...layer, bytes: layer.bytes.subarray(0, 1) }] })
  upstream.put(yours, 'v1', liar)
  for (const name of [mine, yours])
    assert.equal((await get(`${berth.url}/v2/${name}/manifests/v1`)).status, 200)
  const reply = await pull(mine, layer)
  assert.deepEqual([reply.status, reply.body], [200, layer.bytes])
})
