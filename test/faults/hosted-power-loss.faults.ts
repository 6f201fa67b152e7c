import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRunId } from '../../src/store/store.ts'
import { checkVisible } from '../support/check-visible.ts'
import { type HostedProcess, startHostedProcess } from '../support/hosted-process.ts'
import { all, app, hostedStore, pushBlob } from '../support/hosted-store.ts'
import { randomBlob } from '../support/images.ts'
import { ownDisk } from '../support/mounts.ts'
import { pushOf, tagOf } from '../support/push-steps.ts'

const mebibyte = 1024 * 1024
const rounds = 6

test('this disk loses what nobody waited for', async (t) => {
  const disk = await ownDisk(t, 64 * mebibyte)
  await mkdir(join(disk.directory, 'a'))
  await writeFile(join(disk.directory, 'a', 'b'), 'x')
  const after = await disk.afterPowerLoss({ journal: false })
  await assert.rejects(readFile(join(after.directory, 'a', 'b')), { code: 'ENOENT' })
})

test('each change of a push is there after a power loss right after it (C68, H138)', async (t) => {
  const disk = await ownDisk(t, 64 * mebibyte)
  const { store } = await hostedStore(t, join(disk.directory, 'hosted'))
  const { steps } = pushOf('a')
  for (const [at, step] of steps.entries()) {
    await step.run(store)
    const after = await disk.afterPowerLoss({ journal: false })
    const { store: found } = await hostedStore(t, join(after.directory, 'hosted'))
    for (const done of steps.slice(0, at + 1))
      assert.ok(await done.isDone(found), `${done.name} is there after ${step.name}`)
    await found.close()
  }
})

test('what was removed or restored stays so after a power loss', async (t) => {
  const disk = await ownDisk(t, 64 * mebibyte)
  const { store } = await hostedStore(t, join(disk.directory, 'hosted'))
  const push = pushOf('a')
  for (const step of push.steps) await step.run(store)
  const run = createRunId()
  const { digest } = push.image
  const states = {
    removed: async () => {
      for (const tag of ['latest', 'v-a'].map(tagOf)) await store.links.untag(app, tag, run)
      await store.links.removeManifest(app, digest, run)
    },
    restored: async () => void (await store.trash.undo(run)),
  }
  for (const [state, change] of Object.entries(states)) {
    await change()
    const after = await disk.afterPowerLoss({ journal: false })
    const { store: found } = await hostedStore(t, join(after.directory, 'hosted'))
    assert.equal(await found.links.hasManifest(app, digest), state === 'restored')
    assert.deepEqual(await found.links.tags(app), state === 'restored' ? ['latest', 'v-a'] : [])
    assert.equal((await found.links.tagHistory(app, tagOf('v-a')))[0]?.digest, digest)
    assert.ok((await found.blobs.read(digest, mebibyte))?.equals(push.image.bytes))
    await found.close()
  }
})

test('a blob that was restored because it was read is there after a power loss', async (t) => {
  const disk = await ownDisk(t, 64 * mebibyte)
  const { store } = await hostedStore(t, join(disk.directory, 'hosted'))
  const blob = randomBlob(2 * mebibyte)
  await pushBlob(store, blob)
  await store.blobs.remove(blob.digest, createRunId())
  disk.settle()
  assert.ok(await store.blobs.stat(blob.digest))
  const after = await disk.afterPowerLoss({ journal: false })
  const { store: found } = await hostedStore(t, join(after.directory, 'hosted'))
  assert.equal((await all(found.blobs.list())).length, 1)
  assert.ok((await found.blobs.read(blob.digest, 2 * mebibyte))?.equals(blob.bytes))
})

/** Stops a process in the middle of what it does, and waits until its calls have returned. */
async function freeze(child: HostedProcess): Promise<void> {
  child.signal('SIGSTOP')
  for (;;) {
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
    if (/State:\s+T/.test(status)) return
    await sleep(5)
  }
}

test('a power loss in the middle of many pushes loses nothing that was acknowledged, and leaves nothing wrong (C68, H138)', async (t) => {
  const disk = await ownDisk(t, 512 * mebibyte)
  const child = await startHostedProcess(t, join(disk.directory, 'hosted'), { threads: 4 })
  let pushes = 0
  let acknowledged = 0
  for (let round = 0; round < rounds; round += 1) {
    const last = child.lines().length
    for (let at = 0; at < 6; at += 1) {
      child.push(`s${pushes}`)
      pushes += 1
    }
    // In the middle of it, at another point each time.
    while (child.lines().length < last + 5 + 6 * round) await sleep(1)
    await freeze(child)
    const lines = child.lines()
    const after = await disk.afterPowerLoss({ journal: false })
    child.signal('SIGCONT')
    const { store: found, leftovers } = await hostedStore(t, join(after.directory, 'hosted'))
    for (let at = 0; at < pushes; at += 1)
      for (const step of pushOf(`s${at}`).steps) {
        if (!lines.includes(`done s${at} ${step.name}`) || step.name === 'tag latest') continue
        acknowledged += 1
        assert.ok(await step.isDone(found), `${step.name} of s${at} is there in round ${round}`)
      }
    await checkVisible(found)
    assert.deepEqual(await leftovers(), [])
    await found.close()
  }
  await child.close()
  t.diagnostic(`${acknowledged} acknowledged changes looked for`)
})
