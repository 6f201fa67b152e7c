import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRepositoryName } from '../../../src/oci/reference.ts'
import { createDeletionRuns } from '../../../src/registry/hosted/deletion-runs.ts'

const [app, other] = ['p/app', 'p/other'].map(parseRepositoryName)
assert.ok(app && other)

test('what is deleted from a repository within ten seconds is one run', () => {
  let now = 1_000_000
  const runOf = createDeletionRuns({ isJoined: true, now: () => now })
  const first = runOf(app, ['a'])
  assert.match(first, /^19700101T001640Z-/)
  assert.notEqual(runOf(other, ['b']), first)
  now += 9_000
  assert.equal(runOf(app, ['b', 'c']), first)
  // From its first deletion on, not from its last.
  now += 2_000
  assert.notEqual(runOf(app, ['d']), first)
})

test('what is deleted again is in another run, so that the trash has both', () => {
  const runOf = createDeletionRuns({ isJoined: true, now: () => 1_000_000 })
  const first = runOf(app, ['a'])
  assert.equal(runOf(app, ['b']), first)
  const second = runOf(app, ['b'])
  assert.notEqual(second, first)
  assert.equal(runOf(app, ['a']), second)
})

test('on a volume, each deletion is a run', () => {
  const runOf = createDeletionRuns({ isJoined: false, now: () => 1_000_000 })
  assert.notEqual(runOf(app, ['a']), runOf(app, ['b']))
})
