import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { blobDirectory } from '../../src/store/paths.ts'
import { eventually } from '../support/berth.ts'
import { get } from '../support/client.ts'
import { temporaryFiles } from '../support/disk.ts'
import { type Blob, makeImage, randomBlob } from '../support/images.ts'
import { getBlob, pullBlob, pullImage } from '../support/pull.ts'
import { answerInTwo } from '../support/scripted-upstream.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

/** How long Berth leaves a disk alone that failed, and a little more. */
const pause = 5200

const upstream = await useUpstream()
const berth = useBerth({ config: { upstreams: [{ url: upstream.url }] } })

function newBlob(size = 300_000): Blob {
  const blob = randomBlob(size)
  upstream.putBlob('p/r', blob)
  return blob
}

async function readiness(): Promise<{ readonly status: number; readonly cache: string }> {
  const { status, body } = await get(`${berth.admin}/readyz`)
  const { parts } = JSON.parse(body.toString('utf8')) as { parts: { cache: string } }
  return { status, cache: parts.cache }
}

test('a directory that cannot be written to costs the cache, not the pulls, and says so (C63)', async () => {
  const warm = newBlob()
  await pullBlob(berth, 'p/r', warm)
  await rm(join(berth.cache, 'tmp'), { recursive: true, maxRetries: 20 })
  await writeFile(join(berth.cache, 'tmp'), 'in the way')

  const image = makeImage()
  upstream.put('p/i', 'v1', image)
  await pullImage(berth, 'p/i', image, 'v1')
  const cold = newBlob()
  const how = await Promise.all([1, 2, 3, 4].map(() => pullBlob(berth, 'p/r', cold)))
  assert.deepEqual(new Set(how), new Set(['bypass']))
  assert.equal(await pullBlob(berth, 'p/r', warm), 'hit')
  assert.ok((await berth.metric('berth_cache_storage_failures_total')) >= 1)
  const broken = await readiness()
  assert.equal(broken.status, 200)
  assert.match(broken.cache, /cannot write to .+: /)

  await unlink(join(berth.cache, 'tmp'))
  await sleep(pause)
  assert.equal(await pullBlob(berth, 'p/r', cold), 'miss')
  assert.equal(await pullBlob(berth, 'p/r', cold), 'hit')
  assert.equal((await readiness()).cache, 'ok')
})

test('a cache that is deleted under it is filled anew', async () => {
  const image = makeImage()
  upstream.put('p/i', 'v1', image)
  await pullImage(berth, 'p/i', image, 'v1')
  await rm(berth.cache, { recursive: true, maxRetries: 20 })
  await pullImage(berth, 'p/i', image, 'v1')
  for (const blob of image.blobs) assert.equal(await pullBlob(berth, 'p/i', blob), 'hit')
  await berth.restart()
  await pullImage(berth, 'p/i', image, 'v1')
})

test('a blob that cannot get its place reaches all who want it, and leaves nothing (C62)', async () => {
  const blob = newBlob()
  const directory = blobDirectory(berth.cache, blob.digest)
  await mkdir(dirname(directory), { recursive: true })
  await writeFile(directory, 'in the way')
  await Promise.all([1, 2, 3, 4].map(() => pullBlob(berth, 'p/r', blob)))
  await eventually(
    'nothing unfinished is left',
    async () => (await temporaryFiles(berth.cache)).length === 0,
  )
  assert.equal(await berth.metric('berth_cache_storage_failures_total'), 1)
  await rm(directory)
})

test('a fill that fails removes its own file, and no other (C78)', async () => {
  const [good, bad, done] = [newBlob(), newBlob(), newBlob()]
  await pullBlob(berth, 'p/r', done)
  const gate = Promise.withResolvers<void>()
  upstream.on(good.digest, answerInTwo(good.bytes, 1000, gate.promise))
  const broken = Promise.withResolvers<void>()
  const breakOff: Parameters<typeof upstream.on>[1] = ({ head, write, reset }) => {
    head(200, { 'content-length': String(bad.bytes.length) })
    return write(bad.bytes.subarray(0, 1000))
      .then(() => broken.promise)
      .then(reset)
  }
  upstream.on(bad.digest, breakOff, 1)
  upstream.on(bad.digest, ({ reply }) => reply(404))
  const pulling = pullBlob(berth, 'p/r', good)
  const failing = getBlob(berth, 'p/r', bad).catch(() => undefined)
  await eventually('both are written', async () => (await temporaryFiles(berth.cache)).length === 2)
  broken.resolve()
  const failed = await failing
  assert.ok(failed === undefined || failed.status >= 400 || !failed.complete)
  await eventually('one is left', async () => (await temporaryFiles(berth.cache)).length === 1)
  gate.resolve()
  assert.equal(await pulling, 'miss')
  assert.equal(await pullBlob(berth, 'p/r', done), 'hit')
  assert.equal(await berth.metric('berth_cache_storage_failures_total'), 0)
})

test('wrong bytes leave nothing behind, and nothing is served of them as whole (C78, INV-2)', async () => {
  const blob = newBlob()
  upstream.on(blob.digest, ({ reply }) => reply(200, {}, randomBlob(300_000).bytes))
  const reply = await getBlob(berth, 'p/r', blob)
  assert.ok(reply.status >= 500 || !reply.complete)
  await eventually(
    'nothing unfinished is left',
    async () => (await temporaryFiles(berth.cache)).length === 0,
  )
  assert.equal(await berth.metric('berth_cache_blobs'), 0)
})

test('a cache whose parts are on different file systems is refused at the start (C79)', async (t) => {
  const elsewhere = await mkdtemp('/dev/shm/berth-test-')
  t.after(() => rm(elsewhere, { recursive: true }))
  await berth.stop()
  await rm(join(berth.cache, 'tmp'), { recursive: true, force: true })
  await symlink(elsewhere, join(berth.cache, 'tmp'))
  await assert.rejects(berth.restart(), /storage\.directory: EXDEV.*one file system/)
  const left = await readdir(elsewhere, { recursive: true, withFileTypes: true })
  assert.deepEqual(
    left.filter((entry) => entry.isFile()),
    [],
  )
  await unlink(join(berth.cache, 'tmp'))
  await mkdir(join(berth.cache, 'tmp'))
})
