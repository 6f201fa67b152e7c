import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rank } from '../../src/replicas/rendezvous.ts'

const keys = Array.from({ length: 3000 }, (_, at) => `sha256:${at}`)
const members = ['10.0.0.1:30028', '10.0.0.2:30028', '10.0.0.3:30028']

test('each member owns about the same number of keys, in whatever order they are known', () => {
  const counts = members.map(
    (member) => keys.filter((key) => rank(key, members)[0] === member).length,
  )
  for (const count of counts) assert.ok(count > 800 && count < 1200, String(counts))
  for (const key of keys.slice(0, 100))
    assert.deepEqual(rank(key, members.toReversed()), rank(key, members))
})

test('a member that leaves does not change the order of the others', () => {
  const [gone, ...left] = members
  for (const key of keys)
    assert.deepEqual(
      rank(key, left),
      rank(key, members).filter((member) => member !== gone),
    )
})
