import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRunId } from '../../../src/store/hosted/run-id.ts'
import { createTrashIndex } from '../../../src/store/hosted/trash-index.ts'
import { d } from '../link-store.conformance.ts'

const [older, newer] = [createRunId(1000), createRunId(2000)]

function indexOf(count: number) {
  const asked: string[] = []
  let scans = 0
  const index = createTrashIndex({
    scan: async function* () {
      scans += 1
      for (let at = 0; at < count; at += 1) yield { digest: d(`${at}`), run: older }
    },
    find: async (digest) => {
      asked.push(digest)
      return newer
    },
  })
  return { index, asked, scans: () => scans }
}

test('the trash is scanned once, when it is first asked for', async () => {
  const { index, asked, scans } = indexOf(10)
  assert.equal(scans(), 0)
  const runs = await Promise.all([d('1'), d('2'), d('none')].map(index.runOf))
  assert.deepEqual(runs, [older, older, undefined])
  assert.equal(scans(), 1)
  assert.deepEqual(asked, [])
})

test('the newest run of a blob counts, and none after it has left the trash', async () => {
  const { index } = indexOf(10)
  await index.add(d('1'), newer)
  assert.equal(await index.runOf(d('1')), newer)
  await index.delete(d('1'))
  assert.equal(await index.runOf(d('1')), undefined)
  await index.add(d('x'), newer)
  await index.forget(newer)
  assert.equal(await index.runOf(d('x')), undefined)
  assert.equal(await index.runOf(d('2')), older)
})

test('of a trash with too many blobs nothing is remembered (INV-20)', async () => {
  const { index, asked } = indexOf(200_001)
  assert.equal(await index.runOf(d('1')), newer)
  await index.add(d('x'), older)
  assert.equal(await index.runOf(d('x')), newer)
  assert.deepEqual(asked, [d('1'), d('x')])
})

test('a scan that fails is tried again', async () => {
  let fails = true
  const index = createTrashIndex({
    scan: async function* () {
      if (fails) throw new Error('EIO')
      yield { digest: d('x'), run: older }
    },
    find: async () => undefined,
  })
  await assert.rejects(index.runOf(d('x')), /EIO/)
  fails = false
  assert.equal(await index.runOf(d('x')), older)
})
