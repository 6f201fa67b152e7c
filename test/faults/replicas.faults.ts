import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkInvariants, eventually } from '../support/berth.ts'
import { type Child, startChild } from '../support/child.ts'
import { getCompared } from '../support/client.ts'
import { type Blob, randomBlob } from '../support/images.ts'
import { createReplicaGroup, type ReplicaGroup } from '../support/replicas.ts'
import {
  type Answering,
  type ScriptedUpstream,
  startScriptedUpstream,
} from '../support/scripted-upstream.ts'
import { piecesOf, type SeededBlob, seededAnswer, seededBlob } from '../support/seeded.ts'
import { type Streamed, streamBlob } from '../support/streaming.ts'

const size = 16_000_000
const clients = 50

let upstream: ScriptedUpstream
let group: ReplicaGroup
const children: Child[] = []
let seed = 100

before(async () => {
  upstream = await startScriptedUpstream()
  group = await createReplicaGroup(3)
  await Promise.all([0, 1, 2].map(start))
})
after(async () => {
  for (const child of children) {
    await checkInvariants(child)
    await child.kill('SIGTERM')
    await rm(child.directory, { recursive: true, force: true })
  }
  await group.remove()
  await upstream.close()
})
afterEach(() => upstream.behave())

async function start(at: number): Promise<void> {
  const child = await startChild({
    config: { upstreams: [{ prefix: 'up', url: upstream.url }], replicas: group.config(at) },
    environment: { UV_THREADPOOL_SIZE: '4' },
    ...(children[at] && { directory: children[at].directory }),
  })
  children[at] = child
  await eventually('it knows all', async () => (await child.metric('berth_replicas')) === 3)
}

const childAt = (at: number): Child => children[at] as Child

/** A blob that the replica with this index gets for all. */
function blobOf(owner: number): SeededBlob {
  seed += 1
  const found = seededBlob(seed, size)
  return group.ownerOf(found.digest) === owner ? found : blobOf(owner)
}

const pullAt = (at: number, blob: SeededBlob, onFirstByte?: () => void): Promise<Streamed> =>
  streamBlob(`${childAt(at).url}/v2/up/p/r/blobs/${blob.digest}`, blob, {
    ...(onFirstByte && { onFirstByte }),
  })

function assertWhole(results: readonly Streamed[]): void {
  for (const result of results)
    assert.deepEqual(result, { status: 200, received: size, complete: true, right: true })
}

/** The ranges of the GETs for a blob. */
const gets = ({ digest }: SeededBlob) =>
  upstream.requests
    .filter(({ method, path }) => method === 'GET' && path.includes(digest))
    .map(({ headers }) => headers['range'])

function serve(blob: SeededBlob, how?: Parameters<typeof seededAnswer>[1]): void {
  upstream.on(`HEAD /v2/p/r/blobs/${blob.digest}`, ({ head }) =>
    head(200, { 'content-length': String(size) }),
  )
  upstream.on(`GET /v2/p/r/blobs/${blob.digest}`, seededAnswer(blob, how))
}

test('50 clients spread over three replicas are one GET of the upstream for each blob', async (t) => {
  const blobs = [0, 1, 2].map(blobOf)
  const pulls = blobs.flatMap((blob) => {
    serve(blob)
    return Array.from({ length: clients }, (_, at) => pullAt(at % 3, blob))
  })
  assertWhole(await Promise.all(pulls))
  for (const blob of blobs) assert.deepEqual(gets(blob), [undefined])
  t.diagnostic(`${pulls.length} pulls, ${upstream.count('GET /v2/p/r/blobs/')} GETs`)
})

test('the owner is killed in the middle: one of the others continues at the upstream for all', async (t) => {
  const blob = blobOf(0)
  const gate = Promise.withResolvers<void>()
  serve(blob, { pause: { at: size / 2, gate: gate.promise } })
  const begun = Array.from({ length: clients }, () => Promise.withResolvers<void>())
  const pulls = begun.map(({ resolve }, at) => pullAt(1 + (at % 2), blob, resolve))
  await Promise.all(begun.map(({ promise }) => promise))
  await childAt(0).kill('SIGKILL')
  gate.resolve()
  assertWhole(await Promise.all(pulls))
  const [first, ...resumed] = gets(blob)
  assert.equal(first, undefined)
  assert.equal(resumed.length, 1)
  assert.match(String(resumed[0]), /^bytes=[1-9]\d*-$/)
  t.diagnostic(`GETs from ${['0', ...resumed].join(', ')}`)
  await start(0)
})

test('the owner freezes in the middle: the others continue at the upstream', async (t) => {
  const blob = blobOf(1)
  const gate = Promise.withResolvers<void>()
  serve(blob, { pause: { at: size / 2, gate: gate.promise } })
  const begun = [0, 2, 0, 2].map((at) => ({ at, ...Promise.withResolvers<void>() }))
  const pulls = begun.map(({ at, resolve }) => pullAt(at, blob, resolve))
  await Promise.all(begun.map(({ promise }) => promise))
  const { pid } = childAt(1)
  process.kill(pid, 'SIGSTOP')
  gate.resolve()
  const since = performance.now()
  try {
    assertWhole(await Promise.all(pulls))
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  const [first, ...resumed] = gets(blob)
  assert.equal(first, undefined)
  // One that notices it seconds later than the other does not wait for it.
  assert.ok(resumed.length > 0 && resumed.length < 3, `${resumed.length} GETs`)
  for (const range of resumed) assert.match(String(range), /^bytes=[1-9]\d*-$/)
  const seconds = ((performance.now() - since) / 1000).toFixed(1)
  t.diagnostic(`GETs from ${['0', ...resumed].join(', ')}, after ${seconds} s`)
})

test('a replica that leaves and comes back under load fails no pull', async (t) => {
  const loading = new AbortController()
  const load = async (at: number): Promise<number> => {
    for (let count = 0; ; count += 1) {
      if (loading.signal.aborted) return count
      const blob = randomBlob(500_000)
      upstream.putBlob('p/r', blob)
      const urls = [at, 1 - at].map((each) => `${childAt(each).url}/v2/up/p/r/blobs/${blob.digest}`)
      const replies = await Promise.all(urls.map((url) => getCompared(url, blob.bytes)))
      for (const { status, complete } of replies) assert.deepEqual([status, complete], [200, true])
    }
  }
  const loads = Promise.all([load(0), load(1)])
  const before = upstream.count('GET')
  await childAt(2).kill('SIGTERM')
  await start(2)
  const route =
    'berth_http_requests_total{route="/v2/<name>/blobs/<digest>",method="GET",code="200"}'
  await eventually('the others ask it', async () => (await childAt(2).metric(route)) > 0)
  loading.abort()
  const blobs = (await loads).reduce((sum, count) => sum + count, 0)
  t.diagnostic(`${2 * blobs} pulls of ${blobs} blobs, ${upstream.count('GET') - before} GETs`)
})

test('a replica that is killed and started again at its address is the owner for all again', async (t) => {
  const blobs = Array.from({ length: 100 }, () => randomBlob(50_000))
  const pull = async (at: number, blob: Blob): Promise<void> => {
    const reply = await getCompared(`${childAt(at).url}/v2/up/p/r/blobs/${blob.digest}`, blob.bytes)
    assert.deepEqual([reply.status, reply.complete], [200, true])
  }
  const failures = (at: number) =>
    childAt(at).metric('berth_replica_requests_total{outcome="failed"}')
  await childAt(2).kill('SIGKILL')
  for (const at of [0, 1]) {
    const before = await failures(at)
    await eventually('it is left out for longer each time', async () => {
      const blob = randomBlob(1000)
      upstream.putBlob('p/r', blob)
      await pull(at, blob)
      return (await failures(at)) > before + 2
    })
  }
  await start(2)
  for (const at of [0, 1])
    await eventually('it is told', () => /was started again/.test(childAt(at).output()))
  const before = upstream.count('GET /v2/p/r/blobs/')
  for (const blob of blobs) {
    upstream.putBlob('p/r', blob)
    await Promise.all([0, 1, 2].map((at) => pull(at, blob)))
  }
  const counted = upstream.count('GET /v2/p/r/blobs/') - before
  t.diagnostic(`${blobs.length} blobs, each pulled at three replicas: ${counted} GETs`)
  assert.equal(counted, blobs.length)
})

test('an upstream that answers late is waited for by the owner alone', async () => {
  const blob = blobOf(0)
  upstream.on(
    `GET /v2/p/r/blobs/${blob.digest}`,
    async (exchange) => {
      await sleep(7000)
      await seededAnswer(blob)(exchange)
    },
    1,
  )
  serve(blob)
  assertWhole(await Promise.all([0, 1, 2].map((at) => pullAt(at, blob))))
  assert.deepEqual(gets(blob), [undefined])
})

test('an owner that sends wrong bytes, too few, too slowly or none is replaced in a bounded time', async (t) => {
  await childAt(0).kill('SIGTERM')
  const [host = '', port] = group.urlOf(0).replace('http://', '').split(':')
  const owner = await startScriptedUpstream({ host, port: Number(port) })
  t.after(owner.close)
  const headers = { 'content-length': String(size) }
  const all = Promise.withResolvers<void>()
  const late: Answering = async ({ write, reset }) => {
    for (let count = 0; count < 3; count += 1) {
      await write('HTTP/1.1 102 Processing\r\n\r\n')
      await sleep(3500)
    }
    reset()
  }
  const slow: Answering = async ({ head, write, socket }) => {
    head(200, headers)
    for (let at = 0; !socket.destroyed; at += 1) {
      for (const piece of piecesOf(blobs[1] as SeededBlob, at, at + 1)) await write(piece)
      await sleep(1000)
    }
  }
  const wrong: Answering = ({ reply }) => reply(200, headers, Buffer.alloc(size))
  const blobs = Array.from({ length: 6 }, () => blobOf(0))
  const cases: readonly Answering[] = [
    late,
    slow,
    seededAnswer(blobs[2] as SeededBlob, { cut: { at: size / 2, how: 'end' } }),
    ({ write, end }) => write('not HTTP\r\n\r\n').then(end),
    ({ reply }) => reply(500),
    wrong,
  ]
  let waiting = blobs.length
  for (const [at, blob] of blobs.entries()) {
    serve(blob)
    owner.on(`/blobs/${blob.digest}`, async (exchange) => {
      waiting -= 1
      if (waiting === 0) all.resolve()
      await all.promise
      await cases[at]?.(exchange)
    })
  }
  await eventually('it is not left out any more', async () => {
    const blob = blobOf(0)
    serve(blob)
    assertWhole([await pullAt(1, blob)])
    return owner.count(blob.digest) > 0
  })
  const pulls = await Promise.all(blobs.map((blob) => pullAt(1, blob)))
  // What is wrong is known at the end, which is withheld: this client has to try again.
  assert.equal(pulls.pop()?.complete, false)
  assertWhole([...pulls, await pullAt(1, blobs[5] as SeededBlob)])
  await owner.close()
  await start(0)
})
