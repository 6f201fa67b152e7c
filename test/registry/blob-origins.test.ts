import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RegistryError } from '../../src/oci/errors.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { type BlobOrigin, openOrigins } from '../../src/registry/blob-origins.ts'
import { download } from '../../src/registry/download.ts'
import type { RemoteBlob } from '../../src/remote/remote.ts'
import { randomBlob } from '../support/images.ts'

const blob = randomBlob(300_000)
const { signal } = new AbortController()

/** The blob from `from`, whose connection breaks at `end`. */
function sends(from: number, end = blob.bytes.length): RemoteBlob {
  async function* body() {
    yield [blob.bytes.subarray(from, end)]
    if (end < blob.bytes.length)
      throw new RegistryError('UNAVAILABLE', { message: 'the connection broke' })
  }
  return { size: blob.bytes.length, from, body: body(), drop: () => {} }
}

/** A download from these origins, and then from the upstream. */
function from(
  origins: Readonly<Record<string, BlobOrigin['open']>>,
  isPermitted = async () => true,
) {
  const asked: string[] = []
  const failed: string[] = []
  const opened = openOrigins({
    blob: { prefix: '', name: parseRepositoryName('p/r'), digest: blob.digest },
    origins: Object.entries(origins).map(([name, open]) => ({
      name,
      open: (which, from, signal) => {
        asked.push(`${name} ${from}`)
        return open(which, from, signal)
      },
    })),
    upstream: async (from) => {
      asked.push(`upstream ${from}`)
      return sends(from)
    },
    upstreamRange: async () => undefined,
    isPermitted,
    onFailure: ({ name }) => void failed.push(name),
  })
  const read = async (): Promise<Buffer> => {
    const chunks: Buffer[] = []
    const options = { from: 0, size: blob.bytes.length, maxStall: 60_000, signal }
    const first = await opened.open(0, { signal })
    assert.ok(first)
    const reports = { onBytes: () => {}, onResume: () => {} }
    for await (const batch of download({ ...options, ...reports, first, open: opened.open }))
      chunks.push(...batch)
    return Buffer.concat(chunks)
  }
  return { read, open: () => opened.open(0, { signal }), source: opened.source, asked, failed }
}

test('the upstream is not asked for what another origin has', async () => {
  const { read, source, asked } = from({ replica: async (_, at) => sends(at) })
  assert.deepEqual(await read(), blob.bytes)
  assert.deepEqual([asked, source()], [['replica 0'], 'replica'])
})

test('origins that lack a blob, or fail, are passed over in their order', async () => {
  const { read, source, asked, failed } = from({
    replica: async () => undefined,
    bucket: async () => {
      throw new RegistryError('UNAVAILABLE')
    },
  })
  assert.deepEqual(await read(), blob.bytes)
  assert.deepEqual(asked, ['replica 0', 'bucket 0', 'upstream 0'])
  assert.deepEqual([failed, source()], [['bucket'], 'upstream'])
})

test('the next origin continues where the connection of one broke', async () => {
  const { read, source, asked } = from({
    replica: async (_, at) => sends(at, 100_000),
    bucket: async (_, at) => sends(at, 200_000),
  })
  assert.deepEqual(await read(), blob.bytes)
  assert.deepEqual(asked, ['replica 0', 'bucket 100000', 'upstream 200000'])
  assert.equal(source(), 'upstream')
})

test('without the right to the blob, no byte of an origin is read, and none of the upstream', async () => {
  const dropped: string[] = []
  const bucket = async () => ({ ...sends(0), drop: () => void dropped.push('bucket') })
  const absent = from({ bucket }, async () => false)
  assert.equal(await absent.open(), undefined)
  const denied = from({ bucket }, () => Promise.reject(new RegistryError('DENIED')))
  await assert.rejects(denied.open(), { code: 'DENIED' })
  for (const { asked } of [absent, denied]) assert.deepEqual(asked, ['bucket 0'])
  assert.deepEqual(dropped, ['bucket', 'bucket'])
})
