import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { flip, placeBlob } from '../../support/disk.ts'
import { hostedStore } from '../../support/hosted-store.ts'
import { randomBlob } from '../../support/images.ts'
import { testBlobSource } from '../blob-source.conformance.ts'

testBlobSource('blobs of an adopted volume', async (t, all) => {
  const { root, store } = await hostedStore(t)
  for (const blob of all) await placeBlob(root, blob)
  return store.blobs
})

test('a corrupt blob on a volume of another owner is reported once and not served, until its file is replaced (C57)', async (t) => {
  const { root, store, logs } = await hostedStore(t)
  const { blobs } = store
  const blob = randomBlob(1000)
  const path = await placeBlob(root, blob)
  await flip(path, 500)
  assert.equal(await blobs.open(blob.digest), undefined)
  assert.equal(await blobs.read(blob.digest, 2000), undefined)
  assert.equal((await readFile(path)).length, 1000)
  assert.equal(await blobs.open(blob.digest), undefined)
  assert.equal(
    logs().filter(({ level, digest }) => level === 'error' && digest === blob.digest).length,
    1,
  )
  await placeBlob(root, blob)
  assert.deepEqual(await blobs.read(blob.digest, 2000), blob.bytes)
})
