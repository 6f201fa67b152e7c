import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { get, getCompared } from '../support/client.ts'
import { blobOf, makeImage, randomBlob } from '../support/images.ts'
import { pullBlob, pullImage } from '../support/pull.ts'
import type { Answering } from '../support/scripted-upstream.ts'
import {
  type Attack,
  hold,
  mebibyte,
  nowhere,
  survives,
  type Target,
} from '../support/under-attack.ts'

const run = promisify(execFile)

/** Images that nobody has pulled yet come, one after the other, while something goes on. */
async function pullCold({ url, upstream }: Target, count: number, during: Promise<void>) {
  let isOver = false
  void during.finally(() => {
    isOver = true
  })
  for (let at = 0; at < count || !isOver; at += 1) {
    const image = makeImage({ layers: [randomBlob(50_000)] })
    upstream.put(`p/cold-${at}`, 'v1', image)
    await pullImage({ url }, `p/cold-${at}`, image, 'v1')
    await sleep(100)
  }
  await during
}

const slowManifests: Attack = async (target) => {
  const { url, upstream } = target
  const images = Array.from({ length: 10 }, () => makeImage({ layers: [randomBlob(1000)] }))
  for (const [at, image] of images.entries()) {
    upstream.put(`p/slow-${at}`, 'v1', image)
    await pullImage(target, `p/slow-${at}`, image, 'v1')
  }
  for (const [at, { digest, mediaType, bytes }] of images.entries())
    upstream.on(`/v2/p/slow-${at}/manifests/`, async ({ method, head, write }) => {
      await sleep(6000)
      head(200, {
        'content-type': mediaType,
        'docker-content-digest': digest,
        'content-length': String(bytes.length),
      })
      if (method === 'GET') await write(bytes)
    })
  const end = performance.now() + 9000
  const pullTag = async (at: number) => {
    for (; performance.now() < end; await sleep(300)) {
      const { status } = await get(`${url}/v2/p/slow-${at}/manifests/v1`)
      assert.equal(status, 200)
    }
  }
  await pullCold(
    target,
    5,
    Promise.all(images.map((_, at) => pullTag(at))).then(() => {}),
  )
}

const badImages: Attack = async (target) => {
  const { url, upstream } = target
  const lost = Array.from({ length: 5 }, () => randomBlob(100))
  upstream.on('/v2/p/bad-', ({ reply }) => reply(500))
  for (const { digest } of lost)
    upstream.on(`/v2/p/lost/blobs/${digest}`, ({ reply }) =>
      reply(307, { location: `${nowhere}/object` }),
    )
  const askOften = async (path: string) => {
    for (let times = 0; times < 30; times += 1) {
      assert.ok((await get(`${url}/v2/${path}`)).status >= 500)
      await sleep(200)
    }
  }
  const asking = Promise.all([
    ...lost.map((_, at) => askOften(`p/bad-${at}/manifests/v1`)),
    ...lost.map(({ digest }) => askOften(`p/lost/blobs/${digest}`)),
  ])
  await pullCold(
    target,
    20,
    asking.then(() => {}),
  )
}

/** Sends `bytes`, again and again, until the connection is gone. */
function drip(first: Buffer | string, bytes: Buffer | string): Answering {
  return async ({ write, socket }) => {
    await write(first)
    while (!socket.destroyed) {
      await write(bytes)
      await sleep(500)
    }
  }
}

const headOf = (status: number, length: number) =>
  `HTTP/1.1 ${status} Slow\r\ndocker-distribution-api-version: registry/2.0\r\ncontent-length: ${length}\r\n\r\n`

const leavers: Attack = async (target) => {
  const digests = Array.from({ length: 48 }, () => randomBlob(32).digest)
  target.upstream.on('/v2/p/slow/blobs/', drip(headOf(200, 30_000_000), Buffer.alloc(50_000)))
  await hold(
    target.url,
    48,
    ({ ask }, at) => ask(`GET /v2/p/slow/blobs/${digests[at]} HTTP/1.1`, 'Host: x'),
    2,
  )
  await pullCold(target, 10, sleep(3000))
}

const stoppedReaders: Attack = async (target) => {
  const blob = randomBlob(120 * mebibyte)
  target.upstream.putBlob('p/huge', blob)
  const holding = hold(
    target.url,
    48,
    ({ ask }) => ask(`GET /v2/p/huge/blobs/${blob.digest} HTTP/1.1`, 'Host: x'),
    8,
  )
  await pullCold(target, 10, holding)
}

const slowAbsences: Attack = async (target) => {
  target.upstream.on('/v2/p/absent-', drip(headOf(404, 10_000), '{'))
  const holding = hold(
    target.url,
    32,
    ({ ask }, at) => ask(`GET /v2/p/absent-${at}/manifests/v1 HTTP/1.1`, 'Host: x'),
    8,
  )
  await pullCold(target, 10, holding)
}

const earlyHints: Attack = async (target) => {
  const hint = 'HTTP/1.1 103 Early Hints\r\n\r\n'
  target.upstream.on('/v2/p/early-', drip(hint, hint))
  const holding = hold(
    target.url,
    32,
    ({ ask }, at) => ask(`GET /v2/p/early-${at}/manifests/v1 HTTP/1.1`, 'Host: x'),
    8,
  )
  await pullCold(target, 10, holding)
}

/** What is announced and ends makes no room: what was there is there when the upstream is not. */
const brokenPromises: Attack = async (target) => {
  const { url, upstream, image } = target
  upstream.on('/v2/p/promise/blobs/', ({ head, write, end }) => {
    head(200, { 'content-length': '49000000' })
    void write('x').then(end)
  })
  const ask = () => get(`${url}/v2/p/promise/blobs/${randomBlob(32).digest}`).catch(() => {})
  await Promise.race([Promise.all(Array.from({ length: 20 }, ask)), sleep(6000)])
  await upstream.stop()
  for (const blob of image.blobs) assert.equal(await pullBlob(target, 'good/app', blob), 'hit')
  await upstream.start()
}

const manyTags: Attack = async ({ url, upstream, cache }) => {
  upstream.on('/v2/p/tags/manifests/', ({ method, path, head, reply }) => {
    const bytes = `{"mediaType":"${mediaTypes.ociManifest}","config":{},"layers":[],"of":"${path}"}`
    const headers = {
      'content-length': String(bytes.length),
      'docker-content-digest': blobOf(Buffer.from(bytes)).digest,
    }
    if (method === 'HEAD') head(200, headers)
    else reply(200, headers, bytes)
  })
  let next = 0
  const askNext = async () => {
    while (next < 5000) {
      next += 1
      await get(`${url}/v2/p/tags/manifests/t-${next}`, { method: 'HEAD' })
    }
  }
  await Promise.all(Array.from({ length: 16 }, askNext))
  const { stdout } = await run('du', ['-s', '-B1', cache])
  assert.ok(Number.parseInt(stdout, 10) < 50_000_000, `du says ${stdout}`)
}

const flippedByte: Attack = async (target) => {
  const { url, upstream, cache } = target
  const blob = randomBlob(30 * mebibyte)
  upstream.putBlob('p/flipped', blob)
  await pullBlob(target, 'p/flipped', blob)
  const hex = blob.digest.slice('sha256:'.length)
  const { stdout } = await run('find', [cache, '-type', 'f', '-path', `*${hex}*`, '-size', '+1M'])
  const file = await open(join(stdout.trim()), 'r+')
  await file.write(Buffer.from([(blob.bytes[1000] ?? 0) ^ 1]), 0, 1, 1000)
  await file.close()
  const ask = (range: string) =>
    getCompared(`${url}/v2/p/flipped/blobs/${blob.digest}`, blob.bytes, { headers: { range } })
  const replies = await Promise.all(Array.from({ length: 20 }, () => ask('bytes=0-65535')))
  for (const { status, size } of replies) if (status === 206) assert.equal(size, 65536)
  assert.equal((await ask('bytes=0-65535')).status, 206)
}

suite('in 256 MiB, beside a client whose pulls go on:', () => {
  for (const [what, options, attack] of [
    ['an upstream that takes 6 s for manifests whose tags expire (R204)', {}, slowManifests],
    ['images and a redirect target that always fail (R205)', {}, badImages],
    ['slow downloads whose clients have left (R209)', {}, leavers],
    ['clients that stop reading a blob larger than the cache (R209)', {}, stoppedReaders],
    ['404s whose bodies are slow (R209)', {}, slowAbsences],
    ['103 for ever (R209)', {}, earlyHints],
    ['blobs that are announced and end (R202)', {}, brokenPromises],
    ['5,000 tags in a cache of 50 MB (R207)', { maxSize: '50MB' }, manyTags],
    ['a byte that changes on the disk, and ranges (R203)', {}, flippedByte],
  ] as const)
    test(what, (t) => survives(t, options, attack))
})
