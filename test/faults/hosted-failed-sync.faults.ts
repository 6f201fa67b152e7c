import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRunId } from '../../src/store/store.ts'
import { eventually } from '../support/berth.ts'
import { checkVisible } from '../support/check-visible.ts'
import { ownDirectory } from '../support/directory.ts'
import { type HostedProcess, startHostedProcess } from '../support/hosted-process.ts'
import { app, hostedStore } from '../support/hosted-store.ts'
import { randomBlob } from '../support/images.ts'
import { ownFileSystem, remount } from '../support/mounts.ts'
import { pushOf, tagOf } from '../support/push-steps.ts'
import { inject } from '../support/strace.ts'

async function pushed(child: HostedProcess, seed: string): Promise<readonly string[]> {
  child.push(seed)
  await child.ended(seed)
  return child.lines().filter((line) => line.includes(` ${seed} `))
}

test('a push of which an fsync fails is refused and not visible, and succeeds the next time (C65)', async (t) => {
  const root = await ownDirectory(t)
  const child = await startHostedProcess(t, root)
  await pushed(child, 'before')
  let previous = pushOf('before').image.digest
  let failures = 0
  for (let at = 1; ; at += 1) {
    const seed = `s${at}`
    const { image, steps } = pushOf(seed)
    const fault = await inject(child, 'files', `fsync:error=EIO:when=${at}`)
    const lines = await pushed(child, seed)
    await fault.withdraw()
    const failed = steps[lines.length - 1]
    if (!lines.at(-1)?.startsWith('failed')) break
    failures += 1
    assert.equal(lines.at(-1), `failed ${seed} ${failed?.name}: EIO`)

    // It is another process, which only reads.
    const { store } = await hostedStore(t, root)
    const { links } = store
    // What is not linked is not visible.
    if (failed?.name !== 'layer' && failed?.name !== 'manifest')
      assert.equal(await failed?.isDone(store), false, `${failed?.name} at fsync ${at}`)
    assert.deepEqual((await links.tags(app))?.includes(tagOf(`v-${seed}`)), false)
    const latest = await links.tag(app, tagOf('latest'))
    const isMoved = lines.includes(`done ${seed} tag latest`)
    assert.equal(latest?.digest, isMoved ? image.digest : previous, `latest at fsync ${at}`)
    await store.close()

    const again = await pushed(child, seed)
    assert.deepEqual(
      again.slice(lines.length),
      steps.map(({ name }) => `done ${seed} ${name}`),
    )
    previous = image.digest
  }
  t.diagnostic(`failed fsyncs: ${failures}`)
  assert.ok(failures >= 15)
  await child.close()
  const { store } = await hostedStore(t, root)
  await checkVisible(store)
})

test('a disk that fails while an upload is still written fails the upload (C65)', async (t) => {
  const root = await ownDirectory(t)
  const child = await startHostedProcess(t, root)
  const fault = await inject(child, 'files', 'fdatasync:error=EIO:when=1')
  const lines = await pushed(child, 'large')
  await fault.withdraw()
  assert.deepEqual(lines, ['failed large layer: EIO'])
  const again = await pushed(child, 'large')
  assert.equal(again.slice(1).filter((line) => line.startsWith('done')).length, 7)
  await child.close()
  const { store, leftovers } = await hostedStore(t, root)
  await checkVisible(store)
  assert.deepEqual(await leftovers(), [])
})

test('a volume on a read-only file system is read, and nothing is written', async (t) => {
  const root = await ownFileSystem(t, 'size=64m')
  const { store: first } = await hostedStore(t, root)
  for (const step of pushOf('a').steps) await step.run(first)
  await first.close()
  remount(root, 'ro')
  const { store } = await hostedStore(t, root)
  assert.equal(store.problem(), `the file system of ${root} is read-only`)
  for (const step of pushOf('a').steps) assert.ok(await step.isDone(store), step.name)
  for (const step of pushOf('b').steps)
    await assert.rejects(step.run(store), { code: 'UNAVAILABLE' }, step.name)
  await assert.rejects(store.links.untag(app, tagOf('latest'), createRunId()), {
    code: 'UNAVAILABLE',
  })
  remount(root, 'rw')
  await eventually('it can be written', () => store.problem() === undefined)
  for (const step of pushOf('b').steps) await step.run(store)
})

test('a file system that becomes read-only is noticed by the first change, and so is its recovery', async (t) => {
  const root = await ownFileSystem(t, 'size=64m')
  const { store } = await hostedStore(t, root)
  const blob = randomBlob(1000)
  await store.blobs.put(blob.digest, blob.bytes)
  remount(root, 'ro')
  const other = randomBlob(1000)
  await assert.rejects(store.blobs.put(other.digest, other.bytes), { code: 'EROFS' })
  assert.equal(store.problem(), `the file system of ${root} is read-only`)
  await assert.rejects(store.blobs.put(other.digest, other.bytes), { code: 'UNAVAILABLE' })
  assert.deepEqual(await store.blobs.read(blob.digest, 1000), blob.bytes)
  remount(root, 'rw')
  await eventually('it can be written', () => store.problem() === undefined)
  await store.blobs.put(other.digest, other.bytes)
})

test('on a full disk an upload fails, and what it wrote before is kept until it is cancelled (H136)', async (t) => {
  const root = await ownFileSystem(t, 'size=8m')
  const { store, leftovers } = await hostedStore(t, root)
  const small = randomBlob(1_000_000)
  await store.blobs.put(small.digest, small.bytes)
  const upload = await store.uploads.create(app, { writer: 'anonymous', algorithm: 'sha256' })
  const part = Buffer.alloc(1_000_000)
  const fill = async () => {
    for (;;) await upload.append([part])
  }
  await assert.rejects(fill, { code: 'ENOSPC' })
  assert.equal(upload.size % 1_000_000, 0)
  assert.ok(upload.size >= 4_000_000)
  await upload.cancel()
  await store.blobs.put(randomBlob(0).digest, Buffer.alloc(0))
  const blob = randomBlob(3_000_000)
  const next = await store.uploads.create(app, { writer: 'anonymous', algorithm: 'sha256' })
  await next.append([blob.bytes])
  await next.commit(blob.digest)
  assert.deepEqual(await store.blobs.stat(small.digest), { size: 1_000_000 })
  assert.deepEqual(await leftovers(), [])
})

test('an upload that met a full disk continues when there is room again', async (t) => {
  const root = await ownFileSystem(t, 'size=4m')
  const { store } = await hostedStore(t, root)
  const blob = randomBlob(3_000_000)
  const [filler, upload] = [
    await store.uploads.create(app, { writer: 'a', algorithm: 'sha256' }),
    await store.uploads.create(app, { writer: 'b', algorithm: 'sha256' }),
  ]
  await filler.append([Buffer.alloc(2_000_000)])
  await upload.append([blob.bytes.subarray(0, 1_000_000)])
  await assert.rejects(upload.append([blob.bytes.subarray(1_000_000)]), { code: 'ENOSPC' })
  await filler.cancel()
  assert.equal(upload.size, 1_000_000)
  await upload.append([blob.bytes.subarray(1_000_000)])
  await upload.commit(blob.digest)
  assert.deepEqual(await store.blobs.read(blob.digest, 3_000_000), blob.bytes)
})
