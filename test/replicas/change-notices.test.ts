import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { createTellChange } from '../../src/replicas/change-notices.ts'

test('all other replicas are told of a change, and one that does not answer is left out', async () => {
  const told: string[] = []
  const failed: string[] = []
  const [silent, other] = ['192.0.2.1:1', '192.0.2.2:1']
  const tell = createTellChange(
    {
      own: '192.0.2.9:1',
      before: () => [],
      others: () => [silent, other],
      failed: (member) => void failed.push(member),
      started: () => {},
      all: () => [],
      lookedUp: Promise.resolve(),
      close: () => {},
    },
    async ({ member, target }) => {
      told.push(`${member} ${target}`)
      if (member === silent) throw new Error('no answer')
      return true
    },
  )
  const changed = { prefix: 'up', name: parseRepositoryName('p/r') }
  const digest = digestOf(Buffer.from('x'))
  await tell({ ...changed, isDeleted: false, tags: ['1', '2'].map(parseTag), digest })
  assert.deepEqual(failed, [silent])
  const pushed = `/changed/up/p/r?tag=1&tag=2&digest=${encodeURIComponent(digest)}`
  assert.deepEqual(told.splice(0), [`${silent} ${pushed}`, `${other} ${pushed}`])
  await tell({ ...changed, isDeleted: true, tags: [parseTag('1')] })
  assert.equal(told[1], `${other} /changed/up/p/r?tag=1&deleted=true`)
})
