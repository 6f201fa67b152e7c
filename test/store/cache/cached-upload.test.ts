import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import type { Content } from '../../../src/oci/content.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import { isRegistryError, RegistryError } from '../../../src/oci/errors.ts'
import { createDiskCache, type DiskCache } from '../../../src/store/store.ts'
import { temporaryFiles } from '../../support/disk.ts'
import { randomBlob } from '../../support/images.ts'
import { tellingTelemetry } from '../../support/remotes.ts'

let root: string
let cache: DiskCache

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'berth-uploads-'))
  cache = await open()
})
afterEach(async () => {
  assert.deepEqual(await temporaryFiles(root), [], 'temporary files')
  await cache.close()
  await rm(root, { recursive: true, force: true })
})

function open(maxSize = 2 ** 30): Promise<DiskCache> {
  const { telemetry } = tellingTelemetry()
  return createDiskCache({
    root,
    maxSize,
    minimumFree: 0,
    scrubRate: 0,
    scrubInterval: 1000,
    telemetry,
  })
}

async function start(algorithm: 'sha256' | 'sha512' = 'sha256') {
  const upload = await cache.createUpload(algorithm)
  assert.ok(upload, 'there is room')
  return upload
}

const reason = new RegistryError('BLOB_UPLOAD_INVALID')
const wrong = (error: unknown) => isRegistryError(error, 'DIGEST_INVALID')

async function readRest(content: Content, position = 0): Promise<Buffer> {
  const parts: Buffer[] = []
  for (let at = position; at < content.size; ) {
    const piece = await content.next(at)
    assert.ok(piece.kind === 'file')
    const bytes = await readFile(`/proc/self/fd/${piece.fd}`)
    parts.push(bytes.subarray(at, piece.end))
    at = piece.end
  }
  content.close()
  return Buffer.concat(parts)
}

test('an upload becomes a blob of the cache when its digest is verified', async () => {
  const { digest, bytes } = randomBlob(3_000_000)
  const upload = await start()
  await upload.append([bytes.subarray(0, 10), bytes.subarray(10, 1_000_000)])
  await upload.append([bytes.subarray(1_000_000)])
  assert.equal(upload.size, bytes.length)
  assert.equal(await cache.stat(digest), undefined)
  await upload.verify(digest)
  await upload.commit(digest)
  assert.deepEqual(await cache.read(digest, bytes.length), bytes)
})

test('bytes are read while they arrive, and their end when they are verified', async () => {
  const { digest, bytes } = randomBlob(1_000_000)
  const upload = await start()
  const content = await upload.read({ digest, size: bytes.length })
  let read: Buffer | undefined
  const reading = readRest(content).then((all) => {
    read = all
  })
  await upload.append([bytes.subarray(0, 500_000)])
  await upload.append([bytes.subarray(500_000)])
  await new Promise(setImmediate)
  assert.equal(read, undefined, 'the end is held back')
  await upload.verify(digest)
  await reading
  assert.deepEqual(read, bytes)
  await upload.commit(digest)
})

test('wrong bytes are never a blob, and their reader does not get the end', async () => {
  const { digest } = randomBlob(1000)
  const upload = await start()
  const content = await upload.read({ digest, size: 1_000_000 })
  await upload.append([Buffer.alloc(1_000_000)])
  const reading = readRest(content)
  await assert.rejects(upload.verify(digest), wrong)
  await assert.rejects(reading, wrong)
  content.close()
  await upload.discard(reason)
  assert.equal(await cache.stat(digest), undefined)
})

test('what is dropped from the end is hashed no more', async () => {
  const { digest, bytes } = randomBlob(700_000)
  const upload = await start()
  await upload.append([bytes.subarray(0, 300_000), Buffer.alloc(100_000)])
  await upload.truncate(300_000)
  await upload.append([bytes.subarray(300_000)])
  await upload.verify(digest)
  await upload.commit(digest)
  assert.deepEqual(await cache.read(digest, bytes.length), bytes)
})

test('an upload that began as sha256 may end as sha512', async () => {
  const { bytes } = randomBlob(700_000)
  const digest = digestOf(bytes, 'sha512')
  const upload = await start()
  await upload.append([bytes])
  await assert.rejects(upload.verify(digestOf(Buffer.alloc(1), 'sha512')), wrong)
  await upload.verify(digest)
  await upload.commit(digest)
  assert.deepEqual(await cache.read(digest, bytes.length), bytes)
})

test('an upload that the cache has no room for is refused with what to change (H136)', async () => {
  await cache.close()
  cache = await open(600_000)
  const upload = await start()
  await upload.append([Buffer.alloc(300_000)])
  await assert.rejects(
    upload.append([Buffer.alloc(400_000)]),
    (error) =>
      isRegistryError(error, 'UNAVAILABLE') &&
      error.status === 507 &&
      /raise storage\.cache\.maxSize/.test(error.message),
  )
  await upload.discard(reason)
})

test('a reader that comes after the digest was verified gets all bytes', async () => {
  const { digest, bytes } = randomBlob(100_000)
  const upload = await start()
  await upload.append([bytes])
  await upload.verify(digest)
  assert.deepEqual(await readRest(await upload.read({ digest, size: bytes.length })), bytes)
  await upload.commit(digest)
})
