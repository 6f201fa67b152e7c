import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { createTellChange } from '../../src/replicas/change-notices.ts'
import { watchedTelemetry } from '../support/telemetry.ts'

const [silent, other, own] = ['192.0.2.1:1', '192.0.2.2:1', '192.0.2.9:1']
const changed = { prefix: 'up', name: parseRepositoryName('p/r') }
const digest = digestOf(Buffer.from('x'))

/** What is told. `leftOut`: as after a failure. */
function telling(answer: (member: string) => Promise<boolean>, leftOut: readonly string[] = []) {
  const told: string[] = []
  const failed: string[] = []
  const { telemetry, logs } = watchedTelemetry()
  const tell = createTellChange({
    members: {
      own,
      before: () => [],
      others: () => [silent, other].filter((member) => !leftOut.includes(member)),
      failed: (member) => void failed.push(member),
      started: () => {},
      all: () => [own, silent, other],
      lookedUp: Promise.resolve(),
      close: () => {},
    },
    notify: ({ member, target }) => {
      told.push(`${member} ${target}`)
      return answer(member)
    },
    log: telemetry.log,
  })
  return { tell, told, failed, warned: () => logs().map(({ replica }) => replica) }
}

test('a replica that is left out is told of a change, and not waited for', async () => {
  const { tell, told } = telling(
    (member) => (member === silent ? new Promise(() => {}) : Promise.resolve(true)),
    [silent],
  )
  await tell({ ...changed, isDeleted: true, tags: [parseTag('1')] })
  assert.deepEqual(
    told.map((line) => line.split(' ')[0]),
    [silent, other],
  )
})

test('all other replicas are told of a change, and one that does not answer is left out', async () => {
  const { tell, told, failed, warned } = telling(async (member) => {
    if (member === silent) throw new Error('no answer')
    return true
  })
  await tell({ ...changed, isDeleted: false, tags: ['1', '2'].map(parseTag), digest })
  assert.deepEqual(failed, [silent])
  const pushed = `/changed/up/p/r?tag=1&tag=2&digest=${encodeURIComponent(digest)}`
  assert.deepEqual(told.splice(0), [`${silent} ${pushed}`, `${other} ${pushed}`])
  await tell({ ...changed, isDeleted: true, tags: [parseTag('1')] })
  assert.equal(told[1], `${other} /changed/up/p/r?tag=1&deleted=true`)
  assert.deepEqual(warned(), [silent])
})

test('a replica that does not accept a change is told once more, and named once in the log until it accepts one', async () => {
  let accepted = 0
  const { tell, told, warned } = telling(async (member) => {
    if (member === silent) return true
    accepted -= 1
    return accepted >= 0
  })
  const deletion = { ...changed, isDeleted: true, tags: [parseTag('1')] }
  const toOther = () => told.splice(0).filter((line) => line.startsWith(other)).length
  await tell(deletion)
  assert.equal(toOther(), 2)
  await tell(deletion)
  assert.deepEqual(warned(), [other])
  accepted = 1
  told.splice(0)
  await tell(deletion)
  assert.equal(toOther(), 1)
  await tell(deletion)
  assert.deepEqual(warned(), [other, other])
})
