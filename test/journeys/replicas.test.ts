import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { createSignatures } from '../../src/replicas/signature.ts'
import {
  type Berth,
  checkInvariants,
  eventually,
  removeBerth,
  startBerth,
} from '../support/berth.ts'
import { codeOf, get, getCompared } from '../support/client.ts'
import { useDirectory } from '../support/directory.ts'
import { type Blob, type Image, makeImage, randomBlob } from '../support/images.ts'
import { createPusher } from '../support/push-requests.ts'
import { createReplicaGroup, type ReplicaGroup } from '../support/replicas.ts'
import { answerInTwo, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { useUpstream } from '../support/use-upstream.ts'

const upstream = await useUpstream()
/** The index of a replica that is known and does not run. */
const dead = 3
let group: ReplicaGroup
/** A registry that takes pushes. */
let origin: Berth
let berths: readonly Berth[]

const alice = { user: 'alice', password: 'secret-of-alice' }
const bob = { user: 'bob', password: 'secret-of-bob' }
const access = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push'] }]
const htpasswd = join(await useDirectory(), 'htpasswd')

before(async () => {
  const lines = [alice, bob].map(
    async ({ user, password }) => `${user}:${await hashPassword(password, 4)}`,
  )
  await writeFile(htpasswd, (await Promise.all(lines)).join('\n'))
  origin = await startBerth({
    config: { hosted: [{ prefix: '' }], auth: { anonymous: 'rules', access } },
  })
  group = await createReplicaGroup(4)
  berths = await Promise.all(
    group.addresses.slice(0, dead).map((_, at) =>
      startBerth({
        config: {
          upstreams: [
            { prefix: 'up', url: upstream.url },
            { prefix: 'throttled', url: upstream.url },
            { prefix: 'through', url: origin.url, push: true },
          ],
          replicas: group.config(at),
          auth: { anonymous: 'pull', htpasswd, access },
        },
      }),
    ),
  )
  for (const berth of berths)
    await eventually(
      'it knows the others',
      async () => (await berth.metric('berth_replicas')) === 4,
    )
})
after(async () => {
  for (const berth of [...berths, origin]) {
    await checkInvariants(berth)
    await removeBerth(berth)
  }
  await group.remove()
})

let blob: Blob
beforeEach(() => {
  blob = ownedBy(0)
})
afterEach(() => upstream.behave())

/** A blob that the upstream has, and this replica gets for all. */
function ownedBy(owner: number, size = 3_000_000): Blob {
  const found = randomBlob(size)
  if (group.ownerOf(found.digest) !== owner) return ownedBy(owner, size)
  upstream.putBlob('p/r', found)
  return found
}

function imageOwnedBy(owner: number): Image {
  const image = makeImage()
  return group.ownerOf(image.digest) === owner ? image : imageOwnedBy(owner)
}

/** A repository whose tag `1` this replica requests for all. */
function nameOwnedBy(owner: number, name = 'p/tag'): string {
  return group.ownerOf(`up/${name}:1`) === owner ? name : nameOwnedBy(owner, `${name}x`)
}

const berthAt = (at: number): Berth => berths[at] as Berth
const urlAt = (at: number, name = 'p/r') => `${berthAt(at).url}/v2/up/${name}/blobs/${blob.digest}`
const gets = () => upstream.count(`GET /v2/p/r/blobs/${blob.digest}`)
const asked = (at: number) => berthAt(at).metric('berth_replica_requests_total{outcome="found"}')
const failures = (at: number) =>
  berthAt(at).metric('berth_replica_requests_total{outcome="failed"}')

/** The head of a request of a replica for the blob. */
function headersFor(secrets: string): Readonly<Record<string, string>> {
  const target = `/v2/up/p/r/blobs/${blob.digest}`
  const authorization = createSignatures(secrets, Date.now).sign({
    method: 'GET',
    target,
    writer: '',
  })
  return { authorization }
}

const replicaUrl = (at: number) => `${group.urlOf(at)}/v2/up/p/r/blobs/${blob.digest}`
const askReplica = (at: number, secrets: string) =>
  get(replicaUrl(at), { headers: headersFor(secrets) })

test('an owner that does not run is replaced by one of the others, for all', async () => {
  const before = await failures(0)
  blob = ownedBy(dead)
  const image = imageOwnedBy(dead)
  const name = nameOwnedBy(dead)
  upstream.put(name, '1', image)
  const paths = [`blobs/${blob.digest}`, `${name}/manifests/1`, `p/r/manifests/${image.digest}`]
  upstream.put('p/r', undefined, image)
  const pulls = Array.from({ length: 6 }, (_, at) =>
    [urlAt(at % 3), ...paths.slice(1).map((path) => `${berthAt(at % 3).url}/v2/up/${path}`)].map(
      (url) => get(url),
    ),
  )
  for (const { status } of await Promise.all(pulls.flat())) assert.equal(status, 200)
  for (const path of paths)
    assert.equal(upstream.count(`GET /v2/${path.replace(/^blobs/, 'p/r/blobs')}`), 1, path)
  assert.ok((await failures(0)) > before)
})

test('clients of all replicas are one GET of the upstream, and read it while it comes', async () => {
  const half = blob.bytes.length / 2
  const gate = Promise.withResolvers<void>()
  upstream.on(`GET /v2/p/r/blobs/${blob.digest}`, answerInTwo(blob.bytes, half, gate.promise))
  const begun = Array.from({ length: 12 }, () => Promise.withResolvers<void>())
  const pulls = begun.map(({ resolve }, at) =>
    getCompared(urlAt(at % 3), blob.bytes, { onFirst: resolve }),
  )
  await Promise.all(begun.map(({ promise }) => promise))
  gate.resolve()
  for (const { status, complete } of await Promise.all(pulls))
    assert.deepEqual([status, complete], [200, true])
  assert.equal(gets(), 1)
  for (const at of [0, 1, 2]) assert.equal((await get(urlAt(at))).headers['x-cache'], 'hit')
})

test('bytes of another replica are no permission: the upstream is asked for each repository', async () => {
  assert.equal((await get(urlAt(0))).status, 200)
  const refused = await get(urlAt(1, 'p/other'))
  assert.deepEqual([refused.status, codeOf(refused)], [404, 'BLOB_UNKNOWN'])
  assert.equal((await get(urlAt(1))).status, 200)
  assert.equal(upstream.count(`HEAD /v2/p/r/blobs/${blob.digest}`), 1)
  // The owner has the blob, and the right to it; the upstream denies it to the replica that asks.
  for (const method of ['HEAD', 'GET'])
    upstream.on(`${method} /v2/p/r/blobs/${blob.digest}`, ({ reply }) =>
      reply(403, {}, '{"errors":[{"code":"DENIED"}]}'),
    )
  const denied = await get(urlAt(2))
  assert.deepEqual([denied.status, codeOf(denied)], [403, 'DENIED'])
})

test('no login leads to what replicas ask each other, and no other secret', async () => {
  const url = replicaUrl(0)
  assert.equal((await get(url)).status, 401)
  assert.equal((await get(url, { headers: { authorization: 'Basic YTpi' } })).status, 401)
  assert.equal((await askReplica(0, 'the secret of other replicas')).status, 401)
  assert.equal(gets(), 0)
  assert.equal((await askReplica(0, await readFile(group.secretFile, 'utf8'))).status, 200)
})

test('a request of a replica goes to the upstream, never to a third replica', async () => {
  const before = await asked(1)
  const reply = await askReplica(1, await readFile(group.secretFile, 'utf8'))
  assert.deepEqual([reply.status, reply.body.equals(blob.bytes)], [200, true])
  assert.deepEqual([gets(), await asked(1)], [1, before])
})

test('a replica that takes another one for the owner reads what the owner sends there', async () => {
  const gate = Promise.withResolvers<void>()
  upstream.on(`GET /v2/p/r/blobs/${blob.digest}`, answerInTwo(blob.bytes, 100, gate.promise), 1)
  const waiting = getCompared(urlAt(1), blob.bytes)
  await eventually('the owner asks', () => gets() === 1)
  const headers = headersFor(await readFile(group.secretFile, 'utf8'))
  const begun = Promise.withResolvers<void>()
  const asking = getCompared(replicaUrl(1), blob.bytes, { headers, onFirst: begun.resolve })
  await begun.promise
  gate.resolve()
  assert.deepEqual([(await waiting).complete, (await asking).complete], [true, true])
  assert.equal(gets(), 1)
})

test('a replica that is known under a second address does not wait for itself', async () => {
  const own = group.urlOf(1).replace('http://', '')
  const headers = headersFor(await readFile(group.secretFile, 'utf8'))
  const reply = await get(replicaUrl(1), { headers: { ...headers, 'berth-replica': own } })
  assert.equal(reply.status, 404)
  assert.equal(gets(), 0)
})

test('a range far ahead of a download is requested from the upstream by the owner', async () => {
  blob = ownedBy(0, 12_000_000)
  const [first, last] = [11_000_000, 11_000_999]
  const footer = blob.bytes.subarray(first, last + 1)
  const rest = Promise.withResolvers<void>()
  upstream.on(`GET /v2/p/r/blobs/${blob.digest}`, (exchange) => {
    if (exchange.headers['range'] === undefined)
      return answerInTwo(blob.bytes, 100, rest.promise)(exchange)
    const range = `bytes ${first}-${last}/${blob.bytes.length}`
    exchange.reply(206, { 'content-range': range }, footer)
  })
  const ranges = () => berthAt(0).metric('berth_fill_ranges_total{upstream="up"}')
  const before = await ranges()
  const { status, body } = await get(urlAt(1), { headers: { range: `bytes=${first}-${last}` } })
  assert.deepEqual([status, body.equals(footer)], [206, true])
  rest.resolve()
  assert.equal((await getCompared(urlAt(2), blob.bytes)).complete, true)
  assert.deepEqual([gets(), (await ranges()) - before], [2, 1])
})

test('a 429 of the upstream is waited for by the owner, for all', async () => {
  upstream.on(
    `GET /v2/p/r/blobs/${blob.digest}`,
    ({ reply }) => reply(429, { 'retry-after': '1' }),
    1,
  )
  const pulls = await Promise.all([0, 1, 2, 0, 1, 2].map((at) => get(urlAt(at))))
  for (const { status } of pulls) assert.equal(status, 200)
  assert.equal(gets(), 2)
})

test('a 429 that lasts is seen by all through the owner, whom alone the upstream has answered', async () => {
  upstream.on(`GET /v2/p/r/blobs/${blob.digest}`, ({ reply }) =>
    reply(429, { 'retry-after': '60' }),
  )
  for (const at of [1, 2, 0, 1, 2]) {
    const reply = await get(urlAt(at).replace('/v2/up/', '/v2/throttled/'))
    assert.deepEqual([reply.status, codeOf(reply)], [503, 'UNAVAILABLE'])
    assert.ok(Number(reply.headers['retry-after']) > 50)
    assert.equal(gets(), 1)
  }
})

for (const name of ['local/a', 'through/a'])
  test(`an upload to ${name} that was begun at one replica is continued and finished at others`, async () => {
    const pushed = randomBlob(2_000_000)
    const at = (replica: number, login = alice) => createPusher(berthAt(replica).url, login)
    const location = await at(0).session(name)
    const half = pushed.bytes.length / 2
    const first = await at(1).send('PATCH', location, { body: pushed.bytes.subarray(0, half) })
    assert.deepEqual([first.status, first.headers.get('location')], [202, location])
    const status = await at(2).send('GET', location)
    assert.deepEqual([status.status, status.headers.get('range')], [204, `0-${half - 1}`])
    const stranger = await at(1, bob).send('GET', location)
    assert.match(stranger.text, /BLOB_UPLOAD_UNKNOWN/)
    const last = { body: pushed.bytes.subarray(half) }
    const wrong = await at(2).send('PUT', `${location}?digest=${randomBlob(9).digest}`)
    assert.match(wrong.text, /DIGEST_INVALID/)
    assert.equal((await at(2).send('PUT', `${location}?digest=${pushed.digest}`, last)).status, 404)
    const again = await at(0).session(name)
    const whole = { body: pushed.bytes }
    const done = await at(1).send('PUT', `${again}?digest=${pushed.digest}`, whole)
    assert.deepEqual([done.status, done.headers.get('docker-content-digest')], [201, pushed.digest])
    const stored = await at(0).send('HEAD', `/v2/${name}/blobs/${pushed.digest}`)
    assert.equal(stored.headers.get('content-length'), String(pushed.bytes.length))
  })

test('an upload of a replica that is gone is unknown, so that the client begins it again', async () => {
  const pusher = createPusher(berthAt(0).url, alice)
  const location = await pusher.session('local/a')
  const ofNobody = location.replace(/[^.]+$/, '0123456789ab')
  const reply = await pusher.send('PATCH', ofNobody, { body: Buffer.alloc(100_000) })
  assert.deepEqual([reply.status, /BLOB_UPLOAD_UNKNOWN/.test(reply.text)], [404, true])
})

test('neither is an upload known at a replica that rejects requests of this one, or does not receive them', async (t) => {
  const [host = '', port] = group.urlOf(dead).replace('http://', '').split(':')
  const other = await startScriptedUpstream({ host, port: Number(port) })
  t.after(other.close)
  const pusher = createPusher(berthAt(0).url, alice)
  const location = await pusher.session('local/a')
  const owner = hash('sha256', `${host}:${port}`).slice(0, 12)
  for (const status of [401, 408]) {
    other.on('PATCH', ({ reply }) => reply(status), 1)
    const body = Buffer.alloc(100)
    const reply = await pusher.send('PATCH', location.replace(/[^.]+$/, owner), { body })
    assert.deepEqual([reply.status, /BLOB_UPLOAD_UNKNOWN/.test(reply.text)], [404, true])
  }
  assert.equal(other.count('PATCH'), 2)
})
