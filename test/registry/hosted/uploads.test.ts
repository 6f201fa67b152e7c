import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDigest } from '../../../src/oci/digest.ts'
import { createUploadId } from '../../../src/oci/upload-id.ts'
import { bodyOf, openHostedRegistry, pushBlob, startUpload } from '../../support/hosted-registry.ts'
import { blobsOnDisk, checkVolume, uploadsOnDisk } from '../../support/hosted-volume.ts'
import { blobOf, randomBlob } from '../../support/images.ts'

const name = 'local/app'

test('a blob that was uploaded in parts is stored, and its session ends (H114)', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const repository = open(name)
  const blob = randomBlob(300_000)
  const upload = await startUpload(repository)
  const first = await repository.append(upload, bodyOf(blob.bytes.subarray(0, 100_000)), {
    first: 0,
    size: 100_000,
  })
  assert.equal(first.size, 100_000)
  await repository.append(upload, bodyOf(blob.bytes.subarray(100_000, 200_000)))
  assert.equal((await repository.uploadStatus(upload)).size, 200_000)
  await repository.finishUpload(upload, blob.digest, bodyOf(blob.bytes.subarray(200_000)))
  assert.deepEqual(await repository.statBlob(blob.digest), { size: 300_000 })
  await assert.rejects(repository.uploadStatus(upload), { code: 'BLOB_UPLOAD_UNKNOWN' })
  assert.deepEqual(await blobsOnDisk(root), [blob.digest])
  assert.deepEqual(await uploadsOnDisk(root), [])
  await checkVolume(root)
})

test('the empty blob, and one of sha512 in a session of sha256, are stored (P8, P9)', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const repository = open(name)
  const [empty, long] = [blobOf(Buffer.alloc(0)), blobOf(Buffer.from('sha512'), 'sha512')]
  for (const { digest, bytes } of [empty, long]) {
    const upload = await startUpload(repository)
    await repository.finishUpload(upload, digest, bodyOf(bytes))
    assert.deepEqual(await repository.statBlob(digest), { size: bytes.length })
  }
  await checkVolume(root)
})

test('bytes for another place than the end are 416, and the session continues (H116)', async (t) => {
  const { open } = await openHostedRegistry(t)
  const repository = open(name)
  const blob = randomBlob(3000)
  const upload = await startUpload(repository)
  await repository.append(upload, bodyOf(blob.bytes.subarray(0, 1000)), { first: 0 })
  const rest = blob.bytes.subarray(1000)
  for (const first of [0, 500, 1001, 5000]) {
    const outside = { code: 'BLOB_UPLOAD_INVALID', status: 416, message: /has 1000 bytes/ }
    await assert.rejects(repository.append(upload, bodyOf(rest), { first }), outside)
    await assert.rejects(
      repository.finishUpload(upload, blob.digest, bodyOf(rest), { first }),
      outside,
    )
    await assert.rejects(
      repository.finishUpload(upload, blob.digest, undefined, { first }),
      outside,
    )
  }
  assert.equal((await repository.uploadStatus(upload)).size, 1000)
  await repository.finishUpload(upload, blob.digest, bodyOf(rest), { first: 1000, size: 2000 })
})

test('a body of more bytes than announced adds none, one of fewer keeps what arrived', async (t) => {
  const { open } = await openHostedRegistry(t)
  const repository = open(name)
  const { bytes, digest } = randomBlob(3000)
  const upload = await startUpload(repository)
  await assert.rejects(repository.append(upload, bodyOf(bytes, 1000), { first: 0, size: 2500 }), {
    code: 'SIZE_INVALID',
  })
  assert.equal((await repository.uploadStatus(upload)).size, 0)
  const short = bodyOf(bytes.subarray(0, 1000))
  await assert.rejects(repository.append(upload, short, { first: 0, size: 2000 }), {
    code: 'SIZE_INVALID',
  })
  assert.equal((await repository.uploadStatus(upload)).size, 1000)
  await repository.finishUpload(upload, digest, bodyOf(bytes.subarray(1000)), { first: 1000 })
})

test('when a body breaks off, what arrived stays and the upload continues from there', async (t) => {
  const { open } = await openHostedRegistry(t)
  const repository = open(name)
  const { bytes, digest } = randomBlob(3000)
  async function* broken() {
    yield [bytes.subarray(0, 1000)]
    throw new Error('aborted')
  }
  const upload = await startUpload(repository)
  await assert.rejects(repository.append(upload, broken()), /aborted/)
  assert.equal((await repository.uploadStatus(upload)).size, 1000)
  await repository.finishUpload(upload, digest, bodyOf(bytes.subarray(1000)), { first: 1000 })
})

test('when the body of the last request breaks off, it can be repeated as a whole', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const repository = open(name)
  const { bytes, digest } = randomBlob(3000)
  const rest = bytes.subarray(1000)
  async function* broken() {
    yield [rest.subarray(0, 500)]
    throw new Error('aborted')
  }
  const upload = await startUpload(repository)
  await repository.append(upload, bodyOf(bytes.subarray(0, 1000)))
  await assert.rejects(repository.finishUpload(upload, digest, broken()), /aborted/)
  assert.equal((await repository.uploadStatus(upload)).size, 1000)
  await repository.finishUpload(upload, digest, bodyOf(rest))
  await checkVolume(root)
})

test('a wrong digest is DIGEST_INVALID, and neither blob nor session remain (H118)', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const repository = open(name)
  const [pushed, announced] = [randomBlob(1000), randomBlob(1000)]
  const upload = await startUpload(repository)
  await assert.rejects(repository.finishUpload(upload, announced.digest, bodyOf(pushed.bytes)), {
    code: 'DIGEST_INVALID',
    status: 400,
  })
  assert.equal(await repository.statBlob(announced.digest), undefined)
  assert.equal(await repository.statBlob(pushed.digest), undefined)
  await assert.rejects(repository.uploadStatus(upload), { code: 'BLOB_UPLOAD_UNKNOWN' })
  assert.deepEqual([await blobsOnDisk(root), await uploadsOnDisk(root)], [[], []])
})

test('a canceled session is gone (H120)', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const repository = open(name)
  const upload = await startUpload(repository)
  await repository.append(upload, bodyOf(Buffer.from('some')))
  await repository.cancelUpload(upload)
  const unknown = { code: 'BLOB_UPLOAD_UNKNOWN', status: 404 }
  await assert.rejects(repository.uploadStatus(upload), unknown)
  await assert.rejects(repository.append(upload, bodyOf(Buffer.from('more'))), unknown)
  await assert.rejects(repository.cancelUpload(upload), unknown)
  assert.deepEqual(await uploadsOnDisk(root), [])
})

test('a session belongs to its repository and its user', async (t) => {
  const { open } = await openHostedRegistry(t)
  const upload = await startUpload(open(name))
  const unknown = { code: 'BLOB_UPLOAD_UNKNOWN', status: 404 }
  await assert.rejects(open('local/other').uploadStatus(upload), unknown)
  await assert.rejects(open(name).uploadStatus({ ...upload, writer: 'user bob' }), unknown)
  await assert.rejects(open(name).uploadStatus({ ...upload, writer: '' }), unknown)
  await assert.rejects(open(name).uploadStatus({ ...upload, id: createUploadId() }), unknown)
  assert.equal((await open(name).uploadStatus(upload)).size, 0)
})

test('of two requests that write to a session at once one gets 416 (H124)', async (t) => {
  const { open } = await openHostedRegistry(t)
  const repository = open(name)
  const { bytes, digest } = randomBlob(2000)
  const goOn = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  async function* slow() {
    yield [bytes.subarray(0, 1000)]
    begun.resolve()
    await goOn.promise
    yield [bytes.subarray(1000)]
  }
  const upload = await startUpload(repository)
  const first = repository.append(upload, slow())
  await begun.promise
  const busy = { code: 'BLOB_UPLOAD_INVALID', status: 416, message: /another request writes/ }
  await assert.rejects(repository.append(upload, bodyOf(Buffer.from('other'))), busy)
  await assert.rejects(repository.finishUpload(upload, digest), busy)
  await assert.rejects(repository.cancelUpload(upload), busy)
  assert.equal((await repository.uploadStatus(upload)).size, 1000)
  goOn.resolve()
  assert.equal((await first).size, 2000)
  await repository.finishUpload(upload, digest)
})

test('a session survives a restart in its middle', async (t) => {
  const before = await openHostedRegistry(t)
  const { bytes, digest } = randomBlob(200_000)
  const upload = await startUpload(before.open(name))
  await before.open(name).append(upload, bodyOf(bytes.subarray(0, 123_456)))
  const after = await before.restart()
  const repository = after.open(name)
  await assert.rejects(repository.uploadStatus({ ...upload, writer: 'user bob' }), {
    code: 'BLOB_UPLOAD_UNKNOWN',
  })
  assert.equal((await repository.uploadStatus(upload)).size, 123_456)
  await repository.finishUpload(upload, digest, bodyOf(bytes.subarray(123_456)), {
    first: 123_456,
  })
  await checkVolume(after.root)
})

test('ten clients that push one blob at once store it once (H121)', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const blob = randomBlob(500_000)
  const names = Array.from({ length: 10 }, (_, at) => `local/app${at % 3}`)
  await Promise.all(names.map((name) => pushBlob(open(name), blob)))
  for (const name of names)
    assert.deepEqual(await open(name).statBlob(blob.digest), { size: 500_000 })
  assert.deepEqual(await blobsOnDisk(root), [blob.digest])
  assert.deepEqual(await uploadsOnDisk(root), [])
  await checkVolume(root)
})

test('an access to one repository is none to the blobs of another', async (t) => {
  const { open } = await openHostedRegistry(t)
  const blob = randomBlob(100)
  await pushBlob(open('local/one'), blob)
  assert.equal(await open('local/two').statBlob(blob.digest), undefined)
  assert.equal(await open('local/two').blob(blob.digest), undefined)
})

test('a digest that nobody has pushed is a miss', async (t) => {
  const { open } = await openHostedRegistry(t)
  const digest = parseDigest(`sha256:${'0'.repeat(64)}`)
  assert.equal(await open(name).statBlob(digest), undefined)
  assert.equal(await open(name).manifest({ digest }), undefined)
})
