import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkInvariants } from '../support/berth.ts'
import { type Child, startChild } from '../support/child.ts'
import { get, type Reply, wrongBodies } from '../support/client.ts'
import { temporaryFiles } from '../support/disk.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import {
  type Answering,
  type ScriptedUpstream,
  startScriptedUpstream,
} from '../support/scripted-upstream.ts'
import { until } from '../support/until.ts'

const mebibyte = 1024 * 1024
const collector = new URL('../support/collect-garbage.ts', import.meta.url).pathname
/** Ten minutes: SOAK_SECONDS=600. */
const seconds = Number(process.env['SOAK_SECONDS'] ?? 20)
const clients = 12
const faultRate = 0.05

let upstream: ScriptedUpstream
let berth: Child

after(async () => {
  await upstream.close()
  await berth.kill('SIGTERM')
  await rm(berth.directory, { recursive: true, force: true })
})

/**
 * A generator whose numbers, from 0 to 1, can be had again by giving SEED (mulberry32): the same
 * choices, though not the same interleaving.
 */
function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Ways in which an upstream does not give what it was asked for. */
const faults: readonly Answering[] = [
  ({ reset }) => reset(),
  ({ end }) => end(),
  ({ reply }) => reply(500, {}, '{}'),
  ({ reply }) => reply(429, { 'retry-after': '0' }, '{}'),
  ({ reply }) => reply(404, {}, '{"errors":[{"code":"BLOB_UNKNOWN"}]}'),
  ({ reply }) => reply(200, { 'content-type': 'text/html' }, '<p>log in</p>'),
  ({ reply }) => reply(200, {}, Buffer.alloc(50_000)),
  async ({ head, write, reset }) => {
    head(200, { 'content-length': '300000' })
    await write(Buffer.alloc(100_000))
    reset()
  },
  async ({ head, write, end }) => {
    head(200, { connection: 'close' })
    await write(Buffer.alloc(1000))
    end()
  },
]

/** No connection outlives its answer, so that descriptors can be compared. */
const once = { connection: 'close' }

type Act = (image: Image, tag: string, random: () => number) => Promise<Reply>

const acts: readonly Act[] = [
  (_image, tag) => get(`${berth.url}/v2/p/i/manifests/${tag}`, { headers: once }),
  (_image, tag) => get(`${berth.url}/v2/p/i/manifests/${tag}`, { method: 'HEAD', headers: once }),
  (image) => get(`${berth.url}/v2/p/i/manifests/${image.digest}`, { headers: once }),
  () => get(`${berth.url}/v2/p/i/tags/list`, { headers: once }),
  () => get(`${berth.url}/v2/p/i/blobs/${randomBlob(9).digest}`, { headers: once }),
  ...Array.from(
    { length: 4 },
    (): Act => (image, _tag, random) =>
      get(urlOf(image, random), {
        headers: once,
      }),
  ),
  (image, _tag, random) =>
    get(urlOf(image, random), {
      headers: { ...once, range: `bytes=${Math.floor(random() * 9e4)}-` },
    }),
  (image, _tag, random) => get(urlOf(image, random), { headers: once, hangUpAfter: 10_000 }),
]

function urlOf({ blobs }: Image, random: () => number): string {
  return `${berth.url}/v2/p/i/blobs/${pick(blobs, random).digest}`
}

function pick<Thing>(things: readonly Thing[], random: () => number): Thing {
  const thing = things[Math.floor(random() * things.length)]
  assert.ok(thing !== undefined)
  return thing
}

test(`after ${seconds} seconds of mixed load, evictions and faults all is where it began (L98, INV-1, INV-8, INV-20)`, async (t) => {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  t.diagnostic(`seed ${seed}`)
  const random = createRandom(seed)
  upstream = await startScriptedUpstream()
  const images = Array.from({ length: 30 }, (_, at) => {
    const layers = [2 * mebibyte, 300_000, 100_000, 5000].map(randomBlob)
    const image = makeImage({ layers, extra: { annotations: { at: `${at}` } } })
    upstream.put('p/i', `v${at}`, image)
    return image
  })
  berth = await startChild({
    config: {
      upstreams: [{ url: upstream.url, tags: { ttl: '1s' } }],
      storage: { cache: { maxSize: 16 * mebibyte, minimumFree: 0 } },
    },
    environment: { UV_THREADPOOL_SIZE: '4', NODE_OPTIONS: `--import=${collector}` },
  })
  const [first] = images
  assert.ok(first)
  await pullImage(berth, 'p/i', first, 'v0')
  await upstream.stop()
  await upstream.start()
  const before = (await berth.openFiles()).length

  upstream.misbehave(() => (random() < faultRate ? pick(faults, random) : undefined))
  const outcomes = new Map<string, number>()
  const count = (outcome: string) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  const end = performance.now() + seconds * 1000
  const client = async () => {
    while (performance.now() < end) {
      const at = Math.floor(random() * images.length)
      const reply = await pick(acts, random)(images[at] ?? first, `v${at}`, random)
      count(reply.complete ? `${reply.status}` : 'cut short')
    }
  }
  const [memory] = await Promise.all([
    sampleMemory(end),
    ...Array.from({ length: clients }, client),
  ])
  t.diagnostic(`outcomes: ${JSON.stringify(Object.fromEntries([...outcomes].toSorted()))}`)
  assert.deepEqual(wrongBodies, [])
  assert.ok((await berth.metric('berth_cache_evictions_total')) > 50)

  upstream.behave()
  await sleep(5500)
  for (const [at, image] of images.entries()) await pullImage(berth, 'p/i', image, `v${at}`)
  await checkInvariants(berth)
  assert.deepEqual(await temporaryFiles(berth.cache), [])
  await upstream.stop()
  // A thread of sendfile has some, and ends after a minute without a transfer.
  await until('descriptors are as many as before', async () => {
    const files = await berth.openFiles()
    assert.ok(files.length <= before, `${files.length} > ${before}: ${files.toSorted().join(', ')}`)
  })
  const third = memory.length / 3
  const [early, late] = [leastOf(memory.slice(0, third)), leastOf(memory.slice(-third))]
  t.diagnostic(`${before} descriptors; MiB in use at first ${early}, at last ${late}`)
  assert.ok(late <= early + 16, `${early} MiB became ${late}`)
})

/** What the garbage collector leaves, of samples that have the garbage of a second in them. */
function leastOf(samples: readonly number[]): number {
  return Math.round(Math.min(...samples))
}

/** MiB of objects and buffers, again and again until a moment. */
async function sampleMemory(end: number): Promise<readonly number[]> {
  const samples: number[] = []
  while (performance.now() < end) {
    const heap = await berth.metric('nodejs_heap_size_used_bytes')
    const external = await berth.metric('nodejs_external_memory_bytes')
    samples.push((heap + external) / mebibyte)
    await sleep(500)
  }
  return samples
}
