import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkInvariants, eventually } from '../support/berth.ts'
import { type Child, startChild } from '../support/child.ts'
import { getCompared } from '../support/client.ts'
import { randomBlob } from '../support/images.ts'
import { createReplicaGroup, type ReplicaGroup } from '../support/replicas.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { type SeededBlob, seededAnswer, seededBlob } from '../support/seeded.ts'
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

test('the owner is killed in the middle: the others continue at the upstream where it ended', async (t) => {
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
  assert.ok(resumed.length <= 2)
  for (const range of resumed) assert.match(String(range), /^bytes=[1-9]\d*-$/)
  t.diagnostic(`GETs from ${['0', ...resumed].join(', ')}`)
  await start(0)
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
