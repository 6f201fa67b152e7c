import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ownerOf } from '../../src/replicas/rendezvous.ts'

const keys = Array.from({ length: 3000 }, (_, at) => `sha256:${at}`)
const members = ['10.0.0.1:30028', '10.0.0.2:30028', '10.0.0.3:30028']

test('each member owns about the same number of keys, in whatever order they are known', () => {
  const counts = members.map(
    (member) => keys.filter((key) => ownerOf(key, members) === member).length,
  )
  for (const count of counts) assert.ok(count > 800 && count < 1200, String(counts))
  for (const key of keys.slice(0, 100))
    assert.equal(ownerOf(key, members.toReversed()), ownerOf(key, members))
})

test('a member that leaves moves its own keys only', () => {
  const [gone, ...left] = members
  for (const key of keys) {
    const before = ownerOf(key, members)
    if (before !== gone) assert.equal(ownerOf(key, left), before)
  }
})

test('without members nobody owns a key', () => assert.equal(ownerOf('a', []), undefined))
