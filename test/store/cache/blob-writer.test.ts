import assert from 'node:assert/strict'
import { open, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Stamp } from '../../../src/oci/file-stamp.ts'
import { createBlobWriter } from '../../../src/store/cache/blob-writer.ts'
import { createBudget } from '../../../src/store/cache/budget.ts'
import { blobPath } from '../../../src/store/paths.ts'
import type { BlobWriter } from '../../../src/store/store.ts'
import { createTemporary } from '../../../src/store/temporary.ts'
import { eventually } from '../../support/berth.ts'
import { openFiles, readAll } from '../../support/content.ts'
import { ownDirectory } from '../../support/directory.ts'
import { flipBlob, temporaryFiles } from '../../support/disk.ts'
import { type Blob, randomBlob } from '../../support/images.ts'

const size = 300_000
type Options = Partial<Parameters<typeof createBlobWriter>[0]>

/** Bytes that the directory of a blob uses, and more than one uses beside its bytes. */
const directorySize = 4096
const frame = 16 * 1024

/** Makes writers in a directory of the test's own, and tells what they told. */
async function writersOf(t: TestContext, limit = 64 * 1024 * 1024) {
  const root = await ownDirectory(t)
  const told: { readonly stamps: Stamp[]; readonly failures: unknown[]; doubts: number } = {
    stamps: [],
    failures: [],
    doubts: 0,
  }
  const budget = createBudget({
    directory: root,
    limit,
    minimumFree: 0,
    removeFromDisk: (digest) => unlink(blobPath(root, digest)),
  })
  const temporary = createTemporary(root)
  const create = async (blob: Blob, options: Options = {}) =>
    createBlobWriter({
      root,
      digest: blob.digest,
      size: blob.bytes.length,
      hashTurn: async () => {},
      temporary,
      budget,
      directorySize,
      onCommit: (stamp) => void told.stamps.push(stamp),
      onFailure: (error) => void told.failures.push(error),
      onSuspect: () => {
        told.doubts += 1
      },
      ...options,
    })
  const nothingOpen = () =>
    eventually('all files are closed', async () => (await openFiles(root)).length === 0)
  return { root, told, budget, create, nothingOpen }
}

async function commit(writer: BlobWriter | undefined, { bytes }: Blob): Promise<void> {
  assert.ok(writer)
  await writer.write([bytes])
  await writer.commit()
}

test('bytes count when they arrive, and the disk use of the blob after the commit', async (t) => {
  const { root, budget, create, nothingOpen } = await writersOf(t)
  const blob = randomBlob(size)
  const writer = await create(blob)
  assert.deepEqual(budget.usage(), { bytes: 0, blobs: 0 })
  await writer?.write([blob.bytes.subarray(0, 1000)])
  assert.deepEqual(budget.usage(), { bytes: 1000 + frame, blobs: 0 })
  await writer?.write([blob.bytes.subarray(1000)])
  await writer?.commit()
  const { blocks } = await stat(blobPath(root, blob.digest))
  assert.deepEqual(budget.usage(), { bytes: blocks * 512 + directorySize, blobs: 1 })
  await nothingOpen()
})

test('a blob of unknown size gets room as it arrives, while there is some', async (t) => {
  const { budget, told, create } = await writersOf(t, 2 * size)
  const blob = randomBlob(size)
  const writer = await create(blob, { size: undefined })
  await writer?.write([blob.bytes])
  await assert.rejects(async () => writer?.write([blob.bytes]), /no room/)
  assert.ok(writer?.isBroken())
  await writer?.abort(new Error('no room'))
  await eventually('nothing is counted', () => budget.usage().bytes === 0)
  assert.deepEqual(told.failures, [])
})

test('all users can read a stored file, and none can write it', async (t) => {
  const { root, create } = await writersOf(t)
  const blob = randomBlob(size)
  await commit(await create(blob), blob)
  assert.equal((await stat(blobPath(root, blob.digest))).mode & 0o777, 0o444)
})

test('the reported stamp is that of the committed file', async (t) => {
  const { root, told, create } = await writersOf(t)
  const blob = randomBlob(size)
  await commit(await create(blob), blob)
  const { ctimeNs } = await stat(blobPath(root, blob.digest), { bigint: true })
  assert.deepEqual(
    told.stamps.map(({ changed }) => changed),
    [ctimeNs],
  )
})

test('an aborted blob counts until its last reader ends (C71, C78)', async (t) => {
  const { root, budget, create } = await writersOf(t)
  const blob = randomBlob(size)
  const writer = await create(blob)
  const reader = writer?.read()
  await writer?.write([blob.bytes.subarray(0, 1000)])
  await writer?.abort(new Error('given up'))
  assert.deepEqual(await temporaryFiles(root), [])
  assert.equal(budget.usage().bytes, 1000 + frame)
  reader?.close()
  await eventually('nothing is counted', () => budget.usage().bytes === 0)
})

test('a blob that was handed over counts until its last reader ends', async (t) => {
  const { root, budget, create } = await writersOf(t)
  const blob = randomBlob(size)
  const writer = await create(blob)
  const reader = writer?.read()
  await writer?.write([blob.bytes.subarray(0, 1000)])
  await writer?.handOver(() => assert.fail('nobody reads on'))
  assert.deepEqual(await temporaryFiles(root), [])
  assert.equal(budget.usage().bytes, 1000 + frame)
  reader?.close()
  await eventually('nothing is counted', () => budget.usage().bytes === 0)
})

test('a blob is not evicted while a reader of its fill still reads it', async (t) => {
  const { budget, create, nothingOpen } = await writersOf(t, 1.5 * size)
  const blob = randomBlob(size)
  const writer = await create(blob)
  const reader = writer?.read()
  await commit(writer, blob)
  assert.equal(await create(randomBlob(size)), undefined)
  assert.ok(reader)
  assert.ok((await readAll(reader)).equals(blob.bytes))
  await nothingOpen()
  const other = randomBlob(size)
  await commit(await create(other), other)
  assert.deepEqual(budget.digests(), [other.digest])
})

test('the end of a blob that is changed after its commit is not returned', async (t) => {
  const { root, told, create } = await writersOf(t)
  const blob = randomBlob(size)
  const writer = await create(blob)
  const reader = writer?.read()
  await commit(writer, blob)
  await flipBlob(root, blob.digest, size - 1)
  assert.ok(reader)
  await assert.rejects(readAll(reader), /changed on disk/)
  assert.equal(told.doubts, 1)
})

test('a disk failure while bytes are written is reported', async (t) => {
  const { told, create } = await writersOf(t)
  const blob = randomBlob(size)
  // /dev/full takes no byte.
  const temporary = {
    ...createTemporary(await ownDirectory(t)),
    create: async () => ({ path: '/nowhere', handle: await open('/dev/full', 'w') }),
  }
  const writer = await create(blob, { temporary })
  await assert.rejects(async () => writer?.write([blob.bytes]), { code: 'ENOSPC' })
  assert.equal(writer?.written, 0)
  await writer?.abort(new Error('disk is full'))
  assert.equal(told.failures.length, 1)
})

test('bytes that arrive after an abort are not a disk failure', async (t) => {
  const { told, create } = await writersOf(t)
  const blob = randomBlob(size)
  const writer = await create(blob)
  const writing = writer?.write([blob.bytes.subarray(0, 1000)])
  await writer?.abort(new Error('upstream is away'))
  await writing
  assert.ok(writer !== undefined)
  await assert.rejects(async () => writer.write([blob.bytes.subarray(1000)]), /file closed/)
  assert.deepEqual(told.failures, [])
})

test('without room there is no writer and no file', async (t) => {
  const { root, create } = await writersOf(t, size)
  assert.equal(await create(randomBlob(size + 1)), undefined)
  assert.deepEqual(await temporaryFiles(root), [])
  assert.deepEqual(await openFiles(join(root, 'tmp')), [])
})
