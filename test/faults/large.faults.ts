import assert from 'node:assert/strict'
import { rm, statfs } from 'node:fs/promises'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { checkInvariants } from '../support/berth.ts'
import { type Child, startChild } from '../support/child.ts'
import { get } from '../support/client.ts'
import { blobOf, type Image, manifestOf } from '../support/images.ts'
import { ownFileSystem } from '../support/mounts.ts'
import { pullBlob } from '../support/pull.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { type SeededBlob, seededAnswer, seededBlob } from '../support/seeded.ts'
import { streamBlob } from '../support/streaming.ts'

const mebibyte = 1024 * 1024
const limit = 1024 * mebibyte
const clients = 4
const images = 40
/** In MiB; 256 in all. */
const layerSizes = [128, 64, 32, 16, 8, 4, 3, 1]
/** Links and directories are not counted, in bytes. */
const uncounted = 4 * mebibyte

let upstream: ScriptedUpstream
let berth: Child

before(async () => {
  upstream = await startScriptedUpstream()
})
after(() => upstream.close())
afterEach(async () => {
  await checkInvariants(berth)
  await berth.kill('SIGTERM')
  await rm(berth.directory, { recursive: true, force: true })
})

type LargeImage = { readonly image: Image; readonly layers: readonly SeededBlob[] }

/** An image of 256 MiB that takes no room at the upstream. */
function putImage(at: number): LargeImage {
  const layers = layerSizes.map((size, layer) => seededBlob(100 * at + layer, size * mebibyte))
  for (const layer of layers) upstream.on(layer.digest, seededAnswer(layer))
  const config = blobOf(Buffer.from(`{"architecture":"amd64","os":"linux","at":${at}}`))
  const image = manifestOf(
    mediaTypes.ociManifest,
    {
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: config.digest,
        size: config.bytes.length,
      },
      layers: layers.map(({ digest, size }) => ({
        mediaType: 'application/vnd.oci.image.layer.v1.tar',
        digest,
        size,
      })),
    },
    { blobs: [config] },
  )
  upstream.put('p/i', `v${at}`, image)
  return { image, layers }
}

async function pull({ image, layers }: LargeImage, tag: string): Promise<void> {
  const manifest = await get(`${berth.url}/v2/p/i/manifests/${tag}`)
  assert.equal(manifest.status, 200)
  assert.deepEqual(manifest.body, image.bytes)
  for (const config of image.blobs) await pullBlob(berth, 'p/i', config)
  for (const layer of layers) {
    const got = await streamBlob(`${berth.url}/v2/p/i/blobs/${layer.digest}`, layer)
    assert.deepEqual(got, { status: 200, received: layer.size, complete: true, right: true })
  }
}

test('ten times the cache goes through it, and the disk never has more than the cache may (C75, INV-10)', async (t) => {
  // A file system of its own knows of every byte, also of files that are removed and still open.
  const directory = await ownFileSystem(t, `size=${2 * limit}`)
  const child = await startChild({
    config: {
      upstreams: [{ url: upstream.url }],
      storage: { cache: { directory, maxSize: limit, minimumFree: 0, scrubRate: 0 } },
    },
    environment: { UV_THREADPOOL_SIZE: '4' },
  })
  berth = { ...child, cache: directory }
  const sampling = new AbortController()
  const sampler = sample(directory, sampling.signal)
  const started = performance.now()
  let next = 0
  const client = async () => {
    for (let at = next++; at < images; at = next++) await pull(putImage(at), `v${at}`)
  }
  await Promise.all(Array.from({ length: clients }, client))
  sampling.abort()
  const { most, samples } = await sampler

  const seconds = Math.round((performance.now() - started) / 1000)
  const evictions = await berth.metric('berth_cache_evictions_total')
  const host = new URL(upstream.url).host
  const bypassed = await berth.metric(
    `berth_cache_requests_total{upstream="${host}",kind="blob",result="bypass"}`,
  )
  t.diagnostic(
    `${(images * 256) / 1024} GiB in ${seconds} s; at most ${most - limit} bytes above the limit in ` +
      `${samples} samples; ${evictions} evicted, ${bypassed} bypassed`,
  )
  assert.ok(most <= limit + uncounted, `${most - limit} bytes above the limit`)
  assert.ok(samples > 50, `${samples} samples`)
  assert.ok(evictions > 0)
  assert.equal(await berth.metric('berth_cache_storage_failures_total'), 0)
  const asked = upstream.requests.filter(({ path }) => path.includes('/blobs/'))
  assert.equal(asked.length, images * (layerSizes.length + 1), 'each blob was asked for once')
})

/** Looks at what is used of a file system, again and again. */
async function sample(
  directory: string,
  signal: AbortSignal,
): Promise<{ readonly most: number; readonly samples: number }> {
  let most = 0
  let samples = 0
  for (; !signal.aborted; samples += 1) {
    const { blocks, bfree, bsize } = await statfs(directory)
    most = Math.max(most, (blocks - bfree) * bsize)
    await sleep(20)
  }
  return { most, samples }
}
