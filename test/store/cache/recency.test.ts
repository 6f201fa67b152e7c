import assert from 'node:assert/strict'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import { byRecency, writeRecency } from '../../../src/store/cache/recency.ts'
import { recencyPath } from '../../../src/store/paths.ts'
import { createTemporary } from '../../../src/store/temporary.ts'
import { ownDirectory } from '../../support/directory.ts'
import { temporaryFiles } from '../../support/disk.ts'

const d = (name: string): Digest => digestOf(Buffer.from(name))
const found = (name: string, modified: number) => ({ digest: d(name), size: 1, modified })

test('the order that was written is the order that is read, whatever the order of the scan', async (t) => {
  const root = await ownDirectory(t)
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.string(), { maxLength: 20 }), async (names) => {
      await writeRecency(root, createTemporary(root), names.map(d))
      const shuffled = names
        .map((name) => found(name, name.length))
        .toSorted((a, b) => (a.digest < b.digest ? -1 : 1))
      const ordered = await byRecency(root, shuffled)
      assert.deepEqual(
        ordered.map(({ digest }) => digest),
        names.map(d),
      )
    }),
    { numRuns: 50 },
  )
  assert.deepEqual(await temporaryFiles(root), [])
})

test('blobs stored after the order was written are newer, by time', async (t) => {
  const root = await ownDirectory(t)
  await writeRecency(root, createTemporary(root), [d('b'), d('a'), d('gone')])
  const ordered = await byRecency(root, [
    found('d', 9),
    found('c', 8),
    found('a', 99),
    found('b', 1),
  ])
  assert.deepEqual(ordered, [found('b', 1), found('a', 99), found('c', 8), found('d', 9)])
})

test('a clock that was set back does not change the written order (C80)', async (t) => {
  const root = await ownDirectory(t)
  await writeRecency(root, createTemporary(root), [d('old'), d('new')])
  const ordered = await byRecency(root, [found('new', -1e12), found('old', 4e12)])
  assert.deepEqual(
    ordered.map(({ digest }) => digest),
    [d('old'), d('new')],
  )
})

test('all blobs of a scan are ordered, whatever the file contains (C60)', async (t) => {
  const root = await ownDirectory(t)
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      await writeFile(recencyPath(root), bytes)
      assert.deepEqual(await byRecency(root, [found('b', 2), found('a', 1)]), [
        found('a', 1),
        found('b', 2),
      ])
    }),
    { numRuns: 50 },
  )
})

test('without the file, or with something else in its place, time decides', async (t) => {
  const root = await ownDirectory(t)
  const byTime = [found('a', 1), found('b', 2)]
  assert.deepEqual(await byRecency(root, byTime.toReversed()), byTime)
  await mkdir(recencyPath(root))
  assert.deepEqual(await byRecency(root, byTime.toReversed()), byTime)
  await assert.rejects(writeRecency(root, createTemporary(root), []), { code: 'EISDIR' })
  assert.deepEqual(await temporaryFiles(root), [])
  assert.deepEqual((await readdir(root)).sort(), ['recency', 'tmp'])
})
