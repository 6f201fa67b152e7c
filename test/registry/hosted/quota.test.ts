import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createQuota } from '../../../src/registry/hosted/quota.ts'

/** A quota of 100 bytes over a volume whose size the test sets. */
function scene({ size = 0, isShared = false } = {}) {
  let counts = 0
  let barrier: Promise<void> = Promise.resolve()
  const volume = { size }
  const used = async () => {
    counts += 1
    const { size: counted } = volume
    await barrier
    return counted
  }
  const quota = createQuota({ prefix: 'local', limit: 100, used, isShared })
  const hold = () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    barrier = promise
    return resolve
  }
  return { quota, volume, counts: () => counts, hold }
}

test('pushes under way count as well as what is stored', async () => {
  const { quota, volume } = scene({ size: 40 })
  await quota.take(30)
  await assert.rejects(quota.take(31), {
    code: 'DENIED',
    status: 403,
    message:
      /the quota of local\/\*\* is exceeded: 31 bytes more do not fit; 40 bytes of 100 bytes are used, and 30 bytes reserved/,
  })
  await quota.take(30)
  volume.size = 100
  quota.end(30, 30)
  quota.end(30, 30)
  await assert.rejects(quota.take(1), { code: 'DENIED' })
})

test('a push that stores nothing gives its reservation back', async () => {
  const { quota } = scene()
  await quota.take(100)
  await assert.rejects(quota.take(1), { code: 'DENIED' })
  quota.end(100, 0)
  await quota.take(100)
})

test('what is used is counted only when the estimate leaves no room', async () => {
  const { quota, volume, counts } = scene()
  for (let at = 0; at < 9; at += 1) {
    await quota.take(10)
    // The same blob each time: it is on the disk once.
    volume.size = 10
    quota.end(10, 10)
  }
  assert.equal(counts(), 1)
  await quota.take(90)
  assert.equal(counts(), 2)
})

test('refused pushes do not make it count for each', async () => {
  const { quota, counts } = scene({ size: 100 })
  for (let at = 0; at < 20; at += 1) await assert.rejects(quota.take(1), { code: 'DENIED' })
  assert.equal(counts(), 1)
})

test('what was deleted is free at once', async () => {
  const { quota, volume } = scene({ size: 100 })
  await assert.rejects(quota.take(50), { code: 'DENIED' })
  volume.size = 50
  quota.freed()
  await quota.take(50)
})

test('what is stored while it counts is not lost', async () => {
  const { quota, volume, hold } = scene()
  await quota.take(40)
  quota.freed()
  const release = hold()
  // Counts, because the estimate would not suffice.
  const waiting = assert.rejects(quota.take(70), { code: 'DENIED' })
  await new Promise((resolve) => setImmediate(resolve))
  volume.size = 40
  quota.end(40, 40)
  release()
  await waiting
  await quota.take(60)
  await assert.rejects(quota.take(1), { code: 'DENIED' })
})

test('what other replicas store is counted a minute later', async (t) => {
  let now = 1
  t.mock.method(performance, 'now', () => now)
  for (const isShared of [true, false]) {
    const { quota, volume } = scene({ isShared })
    await quota.take(10)
    quota.end(10, 10)
    volume.size = 100
    now += 61_000
    const taking = quota.take(10)
    await (isShared ? assert.rejects(taking, { code: 'DENIED' }) : taking)
  }
})
