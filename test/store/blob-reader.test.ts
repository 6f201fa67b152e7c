import assert from 'node:assert/strict'
import { readSync } from 'node:fs'
import { chmod, rename, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import type { Digest } from '../../src/oci/digest.ts'
import { isRegistryError } from '../../src/oci/errors.ts'
import { stampOf } from '../../src/oci/file-stamp.ts'
import { type BlobReader, createBlobReader } from '../../src/store/blob-reader.ts'
import { blobDirectory, checksumsPath } from '../../src/store/paths.ts'
import { tailSize } from '../../src/store/shared-content.ts'
import { openFiles, readAll } from '../support/content.ts'
import { ownDirectory } from '../support/directory.ts'
import { damages, flip, placeBlob, placeChecksums } from '../support/disk.ts'
import { type Blob, blobOf, randomBlob } from '../support/images.ts'
import { testBlobSource } from './blob-source.conformance.ts'

const small = 1000
const large = 4 * 1024 * 1024

/** A reader of a directory of the test's own, and what it told so far. */
async function readerOf(t: TestContext) {
  const root = await ownDirectory(t)
  const told: string[] = []
  const rotten: Digest[] = []
  const reader = createBlobReader({
    root,
    trustsSizes: false,
    onCorrupt: async (digest) => {
      rotten.push(digest)
      await rm(blobDirectory(root, digest), { recursive: true })
    },
    onUse: (_digest, size) => void told.push(`use ${size}`),
    pin: () => {
      told.push('pin')
      return () => void told.push('unpin')
    },
  })
  t.after(async () => {
    await reader.close()
    await nothingOpen(root)
  })
  return { root, reader, told, rotten }
}

async function nothingOpen(root: string): Promise<void> {
  // Files are closed in the background.
  for (let turn = 0; turn < 100 && (await openFiles(root)).length > 0; turn += 1)
    await new Promise(setImmediate)
  assert.deepEqual(await openFiles(root), [])
}

async function opened(reader: BlobReader, { digest }: Blob) {
  const content = await reader.open(digest)
  assert.ok(content, 'not there')
  return content
}

/** Whether the blob is handed out without being hashed again. */
async function isTrusted(reader: BlobReader, blob: Blob): Promise<boolean> {
  const content = await opened(reader, blob)
  const piece = await content.next(0)
  await readAll(content)
  return piece.kind === 'file' && piece.end === blob.bytes.length - tailSize
}

const changed = (error: unknown) => isRegistryError(error, 'UNKNOWN')

testBlobSource('a blob reader', async (t, blobs) => {
  const { root, reader } = await readerOf(t)
  for (const blob of blobs) await placeBlob(root, blob)
  return reader
})

test('the first read verifies a blob, and a verified blob is returned at once', async (t) => {
  const { root, reader } = await readerOf(t)
  const blob = randomBlob(large)
  await placeBlob(root, blob)
  assert.equal(await isTrusted(reader, blob), false)
  assert.equal(await isTrusted(reader, blob), true)
})

test('concurrent readers share one file and one verification', async (t) => {
  const { root, reader } = await readerOf(t)
  const blob = randomBlob(large)
  await placeBlob(root, blob)
  const contents = await Promise.all(Array.from({ length: 20 }, () => opened(reader, blob)))
  assert.equal((await openFiles(root)).length, 1)
  for (const bytes of await Promise.all(contents.map((content) => readAll(content))))
    assert.ok(bytes.equals(blob.bytes))
})

test('a blob is counted as used before it is pinned, and pinned once for all its readers', async (t) => {
  const { root, reader, told } = await readerOf(t)
  const blob = randomBlob(small)
  await placeBlob(root, blob)
  const first = await opened(reader, blob)
  const second = await opened(reader, blob)
  first.close()
  assert.deepEqual(told, [`use ${small}`, 'pin', `use ${small}`])
  second.close()
  await nothingOpen(root)
  assert.deepEqual(told.slice(3), ['unpin'])
})

test('a file that was written to after its verification is verified again, and is corrupt', async (t) => {
  const { root, reader, rotten } = await readerOf(t)
  const blob = randomBlob(small)
  const path = await placeBlob(root, blob)
  await readAll(await opened(reader, blob))
  await flip(path, 500)
  assert.equal(await reader.open(blob.digest), undefined)
  assert.deepEqual(rotten, [blob.digest])
})

test('a file whose times were put back after it was written to is verified again', async (t) => {
  const { root, reader, rotten } = await readerOf(t)
  const blob = randomBlob(small)
  const path = await placeBlob(root, blob)
  await utimes(path, 1000, 1000)
  await readAll(await opened(reader, blob))
  await flip(path, 500)
  await utimes(path, 1000, 1000)
  assert.equal(await reader.open(blob.digest), undefined)
  assert.deepEqual(rotten, [blob.digest])
})

test('a file that was only touched is verified again, and is not corrupt', async (t) => {
  const { root, reader, rotten } = await readerOf(t)
  const blob = randomBlob(large)
  const path = await placeBlob(root, blob)
  await readAll(await opened(reader, blob))
  await utimes(path, 1000, 1000)
  assert.equal(await isTrusted(reader, blob), false)
  assert.equal(await isTrusted(reader, blob), true)
  assert.deepEqual(rotten, [])
})

test('the end of a file that is written to while it is read is not returned', async (t) => {
  const { root, reader } = await readerOf(t)
  const blob = randomBlob(large)
  const path = await placeBlob(root, blob)
  await readAll(await opened(reader, blob))
  const content = await opened(reader, blob)
  await content.next(0)
  await flip(path, large - 1)
  await assert.rejects(readAll(content), changed)
})

test('the end of a file that is written to while it is verified is not returned', async (t) => {
  const { root, reader } = await readerOf(t)
  const blob = randomBlob(large)
  const path = await placeBlob(root, blob)
  const content = await opened(reader, blob)
  await chmod(path, 0o644)
  await writeFile(path, blob.bytes)
  await assert.rejects(readAll(content), changed)
})

test('a blob that is removed while it is read is read to its end (C71)', async (t) => {
  const { root, reader } = await readerOf(t)
  const blob = randomBlob(large)
  const path = await placeBlob(root, blob)
  await readAll(await opened(reader, blob))
  const content = await opened(reader, blob)
  await content.next(0)
  await rm(path)
  assert.ok((await readAll(content)).equals(blob.bytes))
  assert.equal(await reader.open(blob.digest), undefined)
})

test('a blob that is stored a second time while it is read is read to its end', async (t) => {
  const { root, reader } = await readerOf(t)
  const blob = randomBlob(large)
  const path = await placeBlob(root, blob)
  await readAll(await opened(reader, blob))
  const content = await opened(reader, blob)
  await content.next(0)
  await placeBlob(root, blob)
  reader.trust(blob.digest, stampOf(await stat(path, { bigint: true })))
  assert.ok((await readAll(content)).equals(blob.bytes))
  assert.equal(await isTrusted(reader, blob), true)
})

test('the failure of one reader does not keep the end from the others (INV-9)', async (t) => {
  const { root, reader } = await readerOf(t)
  const blob = randomBlob(large)
  await placeBlob(root, blob)
  await readAll(await opened(reader, blob))
  const [leaving, staying] = [await opened(reader, blob), await opened(reader, blob)]
  await staying.next(0)
  leaving.close(true)
  assert.ok((await readAll(staying)).equals(blob.bytes))
})

test('after a failed read, a blob is verified before any of it is returned', async (t) => {
  const { root, reader, rotten } = await readerOf(t)
  const blob = randomBlob(large)
  const path = await placeBlob(root, blob)
  await readAll(await opened(reader, blob))
  ;(await opened(reader, blob)).close(true)
  assert.deepEqual(await readAll(await opened(reader, blob)), blob.bytes)
  reader.suspect(blob.digest)
  await flip(path, 0)
  assert.equal(await reader.open(blob.digest), undefined)
  assert.deepEqual(rotten, [blob.digest])
})

/** Reads a part of a blob as someone does who wants no more. */
async function readPart(reader: BlobReader, { digest }: Blob, from: number, to: number) {
  const content = await reader.open(digest, { ranged: true })
  if (content === undefined) return undefined
  try {
    const piece = await content.next(from)
    if (piece.kind === 'bytes') return Buffer.from(piece.bytes.subarray(0, to - from))
    const bytes = Buffer.alloc(to - from)
    readSync(piece.fd, bytes, 0, bytes.length, from)
    return bytes
  } finally {
    content.close()
  }
}

test('a range of a blob is verified by its checksums, and the rest is not read (C203)', async (t) => {
  const { root, reader, rotten } = await readerOf(t)
  const blob = randomBlob(large)
  const path = await placeBlob(root, blob)
  await placeChecksums(root, blob)
  await flip(path, 0)
  const part = await readPart(reader, blob, large - 100_000, large - 50_000)
  assert.deepEqual(part, blob.bytes.subarray(large - 100_000, large - 50_000))
  assert.deepEqual(await reader.stat(blob.digest), { size: large })
  assert.deepEqual(rotten, [])
})

test('a corrupt range of a blob is reported and not returned (C57, C203)', async (t) => {
  const { root, reader, rotten } = await readerOf(t)
  const blob = randomBlob(large)
  const path = await placeBlob(root, blob)
  await placeChecksums(root, blob)
  await flip(path, 70_000)
  await assert.rejects(readPart(reader, blob, 65_000, 66_000), changed)
  assert.deepEqual(rotten, [blob.digest])
  assert.equal(await readPart(reader, blob, 0, 10), undefined)
})

test('a range of a blob without checksums, or with damaged ones, waits until the whole blob is verified (C203)', async (t) => {
  const { root, reader, rotten } = await readerOf(t)
  for (const hasChecksums of [false, true]) {
    const blob = randomBlob(large)
    const path = await placeBlob(root, blob)
    if (hasChecksums) await placeChecksums(root, blob)
    if (hasChecksums) await flip(checksumsPath(root, blob.digest), 40)
    assert.deepEqual(await readPart(reader, blob, 10, 20), blob.bytes.subarray(10, 20))
    await flip(path, large - 1)
    assert.equal(await readPart(reader, blob, 10, 20), undefined)
    assert.equal(rotten.at(-1), blob.digest)
  }
})

for (const hasChecksums of [true, false]) {
  const beside = hasChecksums ? 'with' : 'without'
  test(`a file ${beside} checksums that was truncated is a miss, and has no size (C58, C203)`, async (t) => {
    for (const look of ['stat', 'part'] as const) {
      const { root, reader, rotten } = await readerOf(t)
      const blob = randomBlob(large)
      const path = await placeBlob(root, blob)
      if (hasChecksums) await placeChecksums(root, blob)
      await truncate(path, large / 2)
      const seen =
        look === 'stat' ? await reader.stat(blob.digest) : await readPart(reader, blob, 0, 10)
      assert.equal(seen, undefined)
      assert.deepEqual(rotten, [blob.digest])
    }
  })
}

test('the size of a blob with checksums is known without reading it (issue 10, point 4)', async (t) => {
  const { root, reader } = await readerOf(t)
  const blob = randomBlob(large)
  await placeBlob(root, blob)
  await placeChecksums(root, blob)
  assert.deepEqual(await reader.stat(blob.digest), { size: large })
  assert.equal(await isTrusted(reader, blob), false)
})

for (const [damage, inflict] of Object.entries(damages)) {
  for (const size of [small, large]) {
    test(`a blob of ${size} bytes with ${damage} is never read whole, reported once, and gone (C57, C58)`, async (t) => {
      const { root, reader, rotten } = await readerOf(t)
      const blob = randomBlob(size)
      await inflict(await placeBlob(root, blob), size)
      const outcomes = await Promise.allSettled(
        Array.from({ length: 5 }, async () => {
          const content = await reader.open(blob.digest)
          return content && readAll(content)
        }),
      )
      for (const outcome of outcomes)
        assert.ok(outcome.status === 'rejected' || outcome.value === undefined)
      assert.deepEqual(rotten, [blob.digest])
      assert.equal(await reader.open(blob.digest), undefined)
    })
  }

  test(`a manifest with ${damage} is a miss, and reported (C60)`, async (t) => {
    const { root, reader, rotten } = await readerOf(t)
    const blob = randomBlob(small)
    await inflict(await placeBlob(root, blob), small)
    assert.equal(await reader.read(blob.digest, large), undefined)
    assert.deepEqual(rotten, [blob.digest])
  })

  test(`the scrub finds ${damage} (C83)`, async (t) => {
    const { root, reader, rotten } = await readerOf(t)
    const blob = randomBlob(large)
    await inflict(await placeBlob(root, blob), large)
    await reader.verify(blob.digest, async () => {})
    assert.deepEqual(rotten, [blob.digest])
  })
}

test('a corrupt blob that its owner does not remove is not read a second time', async (t) => {
  const root = await ownDirectory(t)
  const rotten: Digest[] = []
  const reader = createBlobReader({
    root,
    trustsSizes: false,
    onCorrupt: async (digest) => void rotten.push(digest),
    onUse: () => {},
    pin: () => () => {},
  })
  const blob = randomBlob(large)
  await flip(await placeBlob(root, blob), large - 1)
  await assert.rejects(readAll(await opened(reader, blob)), changed)
  assert.equal(await reader.open(blob.digest), undefined)
  assert.equal(await reader.read(blob.digest, large), undefined)
  await reader.verify(blob.digest, () => assert.fail('it is read'))
  assert.deepEqual(rotten, [blob.digest])
  await placeBlob(root, blob)
  assert.ok((await readAll(await opened(reader, blob))).equals(blob.bytes))
})

test('the scrub keeps its rate limit, and its verified blobs are trusted (C83)', async (t) => {
  const { root, reader, told } = await readerOf(t)
  const blob = randomBlob(large)
  await placeBlob(root, blob)
  const paces: number[] = []
  await reader.verify(blob.digest, async (bytes) => void paces.push(bytes))
  assert.equal(paces.length, 16)
  assert.equal(paces.at(-1), large)
  assert.deepEqual(told, ['pin', 'unpin'])
  assert.equal(await isTrusted(reader, blob), true)
})

test('the scrub ignores missing blobs', async (t) => {
  const { reader, rotten } = await readerOf(t)
  await reader.verify(randomBlob(small).digest, async () => {})
  assert.deepEqual(rotten, [])
})

test('corruption of a file that was replaced meanwhile is not reported for the new one', async (t) => {
  const { root, reader, rotten } = await readerOf(t)
  const blob = randomBlob(large)
  const path = await placeBlob(root, blob)
  await flip(path, 0)
  await reader.verify(blob.digest, async (bytes) => {
    if (bytes === large) await placeBlob(root, blob)
  })
  assert.deepEqual(rotten, [])
  assert.ok((await readAll(await opened(reader, blob))).equals(blob.bytes))
})

test('the verification of a file that was replaced meanwhile does not apply to the new one', async (t) => {
  const { root, reader } = await readerOf(t)
  const blob = randomBlob(large)
  await placeBlob(root, blob)
  await reader.verify(blob.digest, async (bytes) => {
    if (bytes !== large) return
    const path = await placeBlob(root, blob)
    await flip(path, 0)
    await rename(path, `${path}.rotten`)
    await rename(`${path}.rotten`, path)
  })
  await assert.rejects(readAll(await opened(reader, blob)), changed)
})

test('a blob that is removed while it is opened is not counted as stored', async (t) => {
  const { root, reader, told } = await readerOf(t)
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const blob = blobOf(Buffer.from(`${attempt}`))
    const path = await placeBlob(root, blob)
    told.length = 0
    const [content] = await Promise.all([reader.open(blob.digest), rm(path)])
    if (content === undefined) assert.deepEqual(told, [])
    content?.close()
  }
})

test('closing waits for verifications in flight', async (t) => {
  const { root, reader } = await readerOf(t)
  const blob = randomBlob(large)
  await placeBlob(root, blob)
  ;(await opened(reader, blob)).close()
  await reader.close()
  assert.equal(await isTrusted(reader, blob), true)
})
