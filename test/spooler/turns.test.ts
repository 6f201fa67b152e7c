import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { parseSpoolPath } from '../../src/spooler/spool-names.ts'
import { createTurns } from '../../src/spooler/turns.ts'

/** Which of the files may be worked on at once, in their order. */
function free(...paths: readonly string[]): readonly string[] {
  const turns = createTurns()
  return paths.filter((path) => turns.take(parseSpoolPath(path)))
}

const byDigest = `app@${digestOf(Buffer.alloc(0))}!`

test('files of one tag wait for each other, other tags and invalid names do not', () => {
  assert.deepEqual(free('app:1.tar', 'app:1', 'app:1!', 'app:2.tar', 'A', 'A'), [
    'app:1.tar',
    'app:2.tar',
    'A',
    'A',
  ])
  assert.deepEqual(free('app.tar', 'app:latest!'), ['app.tar'])
})

test('a deletion by digest waits for all files of its repository that are older', () => {
  assert.deepEqual(free('app:1.tar', byDigest, 'app:2'), ['app:1.tar'])
  assert.deepEqual(free('app:1!', byDigest, byDigest), ['app:1!'])
})

test('younger files of its repository wait for a deletion by digest, those of others do not', () => {
  assert.deepEqual(free(byDigest, 'app:1.tar', 'other:1.tar', 'app/sub:1'), [
    byDigest,
    'other:1.tar',
    'app/sub:1',
  ])
})
