import assert from 'node:assert/strict'
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { exists } from '../../../src/store/hosted/directories.ts'
import { createRunId } from '../../../src/store/store.ts'
import { eventually } from '../../support/berth.ts'
import { ownDirectory } from '../../support/directory.ts'
import { all, app, hostedStore, pushBlob, startUpload } from '../../support/hosted-store.ts'
import { makeImage, randomBlob } from '../../support/images.ts'
import { writeVolume } from '../../support/volume.ts'
import { d, tag } from '../link-store.conformance.ts'

/** Everything below a directory, with the times of the last changes. */
async function stateOf(root: string): Promise<readonly string[]> {
  const paths = ['.', ...(await readdir(root, { recursive: true }))]
  return Promise.all(
    paths.toSorted().map(async (path) => `${path} ${(await stat(join(root, path))).ctimeMs}`),
  )
}

test('an adopted volume that is only read is not written to', async (t) => {
  const root = await ownDirectory(t)
  const image = makeImage()
  await writeVolume(root, app, 'v1', image)
  const before = await stateOf(root)
  const { store } = await hostedStore(t, root)
  assert.equal(store.problem(), undefined)
  assert.deepEqual(await store.blobs.read(image.digest, 10_000), image.bytes)
  assert.equal(await store.blobs.stat(d('missing')), undefined)
  assert.equal((await all(store.blobs.list())).length, 4)
  assert.equal((await store.links.tag(app, tag('v1')))?.digest, image.digest)
  assert.equal((await store.links.tagHistory(app, tag('v1'))).length, 1)
  assert.deepEqual(await store.links.repositories(), [app])
  assert.deepEqual(await all(store.uploads.list()), [])
  assert.deepEqual(await store.trash.runs(), [])
  await store.close()
  assert.deepEqual(await stateOf(root), before)
})

test('a volume that does not exist is created by the first change', async (t) => {
  const root = join(await ownDirectory(t), 'a', 'b')
  const { store } = await hostedStore(t, root)
  assert.equal(store.problem(), undefined)
  assert.equal(await store.blobs.stat(d('x')), undefined)
  assert.deepEqual(await store.links.repositories(), [])
  assert.equal(await exists(join(root, '..')), false)
  const blob = randomBlob(1000)
  await pushBlob(store, blob)
  assert.deepEqual(await store.blobs.read(blob.digest, 1000), blob.bytes)
})

test('a second process reads what the first one writes, and may not write until that ends', async (t) => {
  const { root, store: first } = await hostedStore(t)
  const blob = randomBlob(1000)
  await pushBlob(first, blob)
  const { store: second, logs } = await hostedStore(t, root)
  const problem = `another Berth, process ${process.pid} on ${hostname()}, writes to ${root}; it can be read meanwhile`
  assert.equal(second.problem(), problem)
  assert.deepEqual(await second.blobs.read(blob.digest, 1000), blob.bytes)
  const upload = await startUpload(first)
  for (const change of [
    () => startUpload(second),
    () => second.blobs.put(blob.digest, blob.bytes),
    () => second.blobs.remove(blob.digest, createRunId()),
    () => second.links.addBlob(app, d('x')),
    () => second.links.addManifest(app, d('x')),
    () => second.links.setTag(app, tag('v1'), d('x')),
    () => second.links.untag(app, tag('v1'), createRunId()),
    () => second.trash.undo(createRunId()),
    () => second.trash.free({ before: Date.now() }),
    async () => (await second.uploads.open(app, upload.id))?.append([blob.bytes]),
  ])
    await assert.rejects(change, { code: 'UNAVAILABLE', message: `cannot write: ${problem}` })
  assert.equal(await first.links.hasBlob(app, d('x')), false)
  await first.close()
  await eventually('the second may write', () => second.problem() === undefined)
  await second.links.addBlob(app, d('x'))
  assert.deepEqual(
    logs().map(({ level, msg }) => `${level} ${msg}`),
    ['warn hosted repositories are read-only', 'info hosted repositories can be written'],
  )
})

test('of two processes that have only read, the first to write may write', async (t) => {
  const { root, store: first } = await hostedStore(t)
  const { store: second } = await hostedStore(t, root)
  await second.links.addBlob(app, d('x'))
  assert.equal(first.problem(), undefined)
  await assert.rejects(first.links.addBlob(app, d('y')), { code: 'UNAVAILABLE' })
  assert.match(first.problem() ?? '', /another Berth/)
  assert.equal(await first.links.hasBlob(app, d('x')), true)
})

test('a blob in the trash is unavailable, not missing, for a process that may not write', async (t) => {
  const { root, store: first } = await hostedStore(t)
  const { store: second } = await hostedStore(t, root)
  const [blob, other] = [randomBlob(1000), randomBlob(1000)]
  for (const each of [blob, other]) await pushBlob(first, each)
  await first.blobs.remove(blob.digest, createRunId())
  await assert.rejects(second.blobs.stat(blob.digest), { code: 'UNAVAILABLE' })
  assert.deepEqual(await second.blobs.stat(other.digest), { size: 1000 })
  assert.deepEqual(await first.blobs.stat(blob.digest), { size: 1000 })
  assert.deepEqual(await second.blobs.stat(blob.digest), { size: 1000 })
})

test('unfinished files of a process that was killed are removed by the next one', async (t) => {
  const { root, store } = await hostedStore(t)
  await store.links.addBlob(app, d('x'))
  await store.close()
  const dead = join(root, 'tmp', `${hostname()}+4194305+1`)
  await mkdir(dead, { recursive: true })
  await writeFile(join(dead, 'unfinished'), 'x')
  const { leftovers } = await hostedStore(t, root)
  assert.deepEqual(await leftovers(), [])
})
