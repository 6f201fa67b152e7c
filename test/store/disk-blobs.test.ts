import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import { createDiskBlobs } from '../../src/store/disk-blobs.ts'
import { ownDirectory } from '../support/directory.ts'
import { flip, placeBlob } from '../support/disk.ts'
import { randomBlob } from '../support/images.ts'
import { watchedTelemetry } from '../support/telemetry.ts'
import { testBlobSource } from './blob-source.conformance.ts'

async function blobsOf(t: TestContext) {
  const root = await ownDirectory(t)
  const { telemetry, logs } = watchedTelemetry()
  return { root, logs, blobs: createDiskBlobs({ root, telemetry }) }
}

testBlobSource('blobs of a volume', async (t, all) => {
  const { root, blobs } = await blobsOf(t)
  for (const blob of all) await placeBlob(root, blob)
  return blobs
})

test('a corrupt blob on a volume of another owner is reported once and not served, until its file is replaced (C57)', async (t) => {
  const { root, blobs, logs } = await blobsOf(t)
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
