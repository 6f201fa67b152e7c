import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Content } from '../../../src/oci/content.ts'
import { algorithmOf, createDigester, type Digest, type Digester } from '../../../src/oci/digest.ts'
import { isRegistryError } from '../../../src/oci/errors.ts'
import type { BlobCache, BlobWriter } from '../../../src/store/store.ts'
import { readAll } from '../../support/content.ts'
import { type Blob, blobOf, randomBlob } from '../../support/images.ts'
import { testBlobSource } from '../blob-source.conformance.ts'

export type CacheUnderTest = {
  readonly cache: BlobCache
  /** Closes it, and opens it again over what it stored. */
  reopen(): Promise<BlobCache>
  /** Changes a byte of a stored blob behind its back. */
  damage(digest: Digest, position: number): Promise<void>
  /** Unfinished things that lie about; none, when nothing is under way. */
  leftovers(): Promise<readonly string[]>
}

/** An empty cache of so many bytes, closed at the end of the test. */
type MakeCache = (t: TestContext, maxSize: number) => Promise<CacheUnderTest>

const roomy = 64 * 1024 * 1024
const size = 300_000

/** What everyone may rely on who stores blobs in a bounded cache, wherever it is. */
export function testBlobCache(name: string, make: MakeCache): void {
  testBlobSource(name, async (t, blobs) => {
    const { cache } = await make(t, roomy)
    for (const { digest, bytes } of blobs) await cache.put(digest, bytes)
    return cache
  })

  /** A test that must leave nothing unfinished. */
  const testCleanly = (
    what: string,
    behave: (under: CacheUnderTest) => Promise<void>,
    maxSize = roomy,
  ) =>
    test(`${name}: ${what}`, async (t) => {
      const under = await make(t, maxSize)
      await behave(under)
      assert.deepEqual(await under.leftovers(), [])
    })

  testCleanly('what is committed is there, and was not before', async ({ cache }) => {
    const blob = randomBlob(size)
    const writer = await create(cache, blob)
    await writer.write(chunksOf(blob))
    assert.equal(writer.written, size)
    assert.equal(await cache.open(blob.digest), undefined)
    await writer.commit()
    assert.ok((await readStored(cache, blob))?.equals(blob.bytes))
  })

  testCleanly('a blob of unknown size is stored as well', async ({ cache }) => {
    const blob = randomBlob(size)
    const writer = await create(cache, blob, undefined)
    await writer.write(chunksOf(blob))
    await writer.commit()
    assert.ok((await readStored(cache, blob))?.equals(blob.bytes))
  })

  testCleanly('an empty blob is stored as well (P9)', async ({ cache }) => {
    const blob = blobOf(Buffer.alloc(0))
    const writer = await create(cache, blob)
    await writer.commit()
    assert.equal((await readStored(cache, blob))?.length, 0)
  })

  testCleanly('readers get bytes while they come, and the end when it is right', async (under) => {
    const blob = randomBlob(size)
    const writer = await create(under.cache, blob)
    const readers = Array.from({ length: 5 }, () => readAll(writer.read()))
    let done = 0
    for (const reader of readers) reader.then(() => (done = done + 1))
    for (const chunk of chunksOf(blob)) await writer.write([chunk])
    await new Promise(setImmediate)
    assert.equal(done, 0)
    const late = readAll(writer.read())
    await writer.commit()
    for (const bytes of await Promise.all([...readers, late])) assert.ok(bytes.equals(blob.bytes))
  })

  testCleanly(
    'wrong bytes are rejected, also for readers, and never stored (C57)',
    async ({ cache }) => {
      const blob = randomBlob(size)
      const writer = await create(cache, blob)
      const reading = assert.rejects(readAll(writer.read()), isMismatch)
      await writer.write([randomBlob(size).bytes])
      await assert.rejects(writer.commit(), isMismatch)
      await writer.abort(await rejectionOf(writer.commit()))
      await reading
      assert.equal(await cache.open(blob.digest), undefined)
    },
  )

  testCleanly('a blob longer than it was said to be is refused', async ({ cache }) => {
    const blob = randomBlob(size)
    const writer = await create(cache, blob, size - 1)
    await assert.rejects(writer.write([blob.bytes]), isMismatch)
    await writer.abort(new Error('too long'))
    assert.equal(await cache.open(blob.digest), undefined)
  })

  testCleanly('a blob shorter than it was said to be is refused', async ({ cache }) => {
    const blob = randomBlob(size)
    const writer = await create(cache, blob, size + 1)
    await writer.write([blob.bytes])
    await assert.rejects(writer.commit(), isMismatch)
    await writer.abort(new Error('too short'))
    assert.equal(await cache.open(blob.digest), undefined)
  })

  testCleanly('readers of what is given up get the error', async ({ cache }) => {
    const blob = randomBlob(size)
    const writer = await create(cache, blob)
    const reader = writer.read()
    await writer.write(chunksOf(blob).slice(0, 2))
    await writer.abort(new Error('upstream is away'))
    await assert.rejects(readAll(reader), /upstream is away/)
    assert.equal(await cache.open(blob.digest), undefined)
  })

  testCleanly('readers of what is handed over go on where it ends (C61)', async ({ cache }) => {
    const blob = randomBlob(size)
    const writer = await create(cache, blob)
    const [slow, ranged] = [writer.read(), writer.read()]
    await writer.write([blob.bytes.subarray(0, 290_000)])
    await writer.handOver((digester) => restOf(blob, digester))
    assert.ok((await readAll(slow)).equals(blob.bytes))
    const end = await readAll(ranged, { from: 295_000 })
    assert.ok(end.equals(blob.bytes.subarray(295_000)))
    assert.equal(await cache.open(blob.digest), undefined)
  })

  testCleanly('two writers of one blob both succeed', async ({ cache }) => {
    const blob = randomBlob(size)
    const writers = [await create(cache, blob), await create(cache, blob)]
    const readers = writers.map((writer) => readAll(writer.read()))
    for (const writer of writers) await writer.write(chunksOf(blob))
    await Promise.all(writers.map((writer) => writer.commit()))
    for (const bytes of await Promise.all(readers)) assert.ok(bytes.equals(blob.bytes))
    assert.ok((await readStored(cache, blob))?.equals(blob.bytes))
  })

  testCleanly('a writer that fails leaves what another one stored (C78)', async ({ cache }) => {
    const blob = randomBlob(size)
    const [good, bad] = [await create(cache, blob), await create(cache, blob)]
    await bad.write(chunksOf(blob).slice(0, 2))
    await good.write(chunksOf(blob))
    await good.commit()
    await bad.abort(new Error('upstream is away'))
    assert.ok((await readStored(cache, blob))?.equals(blob.bytes))
  })

  testCleanly('what was stored is there after a new start', async ({ cache, reopen }) => {
    const blob = randomBlob(size)
    await cache.put(blob.digest, blob.bytes)
    assert.ok((await readStored(await reopen(), blob))?.equals(blob.bytes))
  })

  testCleanly('wrong bytes are not put', async ({ cache }) => {
    const blob = randomBlob(size)
    await cache.put(blob.digest, randomBlob(size).bytes)
    assert.equal(await cache.read(blob.digest, roomy), undefined)
  })

  for (const position of [0, size >> 1, size - 1]) {
    testCleanly(
      `a blob corrupt at ${position} is never read whole, and storing it again repairs it (C57)`,
      async (under) => {
        const { cache, damage } = under
        const blob = randomBlob(size)
        await cache.put(blob.digest, blob.bytes)
        await damage(blob.digest, position)
        await assert.rejects(async () => assert.ok(await readStored(cache, blob)))
        assert.equal(await cache.open(blob.digest), undefined)
        await cache.put(blob.digest, blob.bytes)
        assert.ok((await readStored(cache, blob))?.equals(blob.bytes))
      },
    )
  }

  testCleanly(
    'a blob larger than the cache is not stored, and evicts nothing (C74)',
    async ({ cache }) => {
      const kept = randomBlob(size)
      await cache.put(kept.digest, kept.bytes)
      const { digest } = randomBlob(10)
      assert.equal(await cache.create(digest, 2 * size), undefined)
      assert.ok(await readStored(cache, kept))
    },
    1.5 * size,
  )

  testCleanly(
    'the least recently used blob is evicted',
    async ({ cache }) => {
      const [first, second, third] = [randomBlob(size), randomBlob(size), randomBlob(size)]
      await cache.put(first.digest, first.bytes)
      await cache.put(second.digest, second.bytes)
      await readStored(cache, first)
      await cache.put(third.digest, third.bytes)
      assert.equal(await cache.open(second.digest), undefined)
      assert.ok(await readStored(cache, first))
      assert.ok(await readStored(cache, third))
    },
    2.5 * size,
  )

  testCleanly(
    'a blob in use is not evicted, and is read to its end (C71)',
    async ({ cache }) => {
      const [read, other] = [randomBlob(size), randomBlob(size)]
      await cache.put(read.digest, read.bytes)
      const content = await cache.open(read.digest)
      assert.ok(content)
      await content.next(0)
      assert.equal(await cache.create(other.digest, size), undefined)
      assert.ok((await readAll(content)).equals(read.bytes))
    },
    1.5 * size,
  )

  testCleanly('it has no trouble', async ({ cache }) => {
    assert.equal(cache.problem(), undefined)
  })
}

async function create(
  cache: BlobCache,
  { digest, bytes }: Blob,
  said: number | undefined = bytes.length,
): Promise<BlobWriter> {
  const writer = await cache.create(digest, said)
  assert.ok(writer, 'no room')
  return writer
}

async function readStored(cache: BlobCache, { digest }: Blob): Promise<Buffer | undefined> {
  const content = await cache.open(digest)
  return content && readAll(content)
}

function chunksOf({ bytes }: Blob): readonly Buffer[] {
  const step = Math.ceil(bytes.length / 5)
  return [0, 1, 2, 3, 4].map((at) => bytes.subarray(at * step, (at + 1) * step))
}

/** What an upstream still has, hashed on from where the writer stopped, as the fill does it. */
function restOf({ digest, bytes }: Blob, digester: Digester): Content {
  const whole = createDigester(algorithmOf(digest))
  whole.update(bytes.subarray(0, digester.size))
  assert.equal(digester.copy().digest(), whole.digest())
  return {
    digest,
    size: bytes.length,
    next: (position) => {
      assert.ok(position >= digester.size, 'bytes between the two are missing')
      return { kind: 'bytes', bytes: bytes.subarray(position) }
    },
    close: () => {},
  }
}

function isMismatch(error: unknown): boolean {
  return isRegistryError(error, 'DIGEST_INVALID')
}

function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => assert.fail('it did not reject'),
    (error: unknown) => error,
  )
}
