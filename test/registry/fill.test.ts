import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isRegistryError } from '../../src/oci/errors.ts'
import { startFill } from '../../src/registry/fill.ts'
import type { BlobCache } from '../../src/store/store.ts'
import { blobOf, randomBlob } from '../support/images.ts'

/** A fill of what the upstream says is empty, in a cache that has no room for anything. */
function fillOfNothing(digest: ReturnType<typeof blobOf>['digest']) {
  let dropped = 0
  const failures: unknown[] = []
  const blobs: Pick<BlobCache, 'create'> = { create: async () => undefined }
  const source = {
    open: async () => ({
      size: 0,
      from: 0,
      body: (async function* () {})() as never,
      drop: () => {
        dropped += 1
      },
    }),
    onBytes: () => {},
  }
  const fill = startFill({
    digest,
    expectedSize: undefined,
    farRanges: { reader: (content) => content, compare: async () => {} },
    blobs: blobs as BlobCache,
    ...source,
    openSource: () => source,
    signal: new AbortController().signal,
    abandon: () => {},
    maxStall: 1000,
    onResume: () => {},
    onAbsent: () => {},
    onBypass: () => {},
    onStored: () => {},
    onFailure: (error) => void failures.push(error),
  })
  return { fill, failures, dropped: () => dropped }
}

test('an empty body for the digest of another blob is an error, also without storing (INV 1)', async () => {
  const { fill, failures, dropped } = fillOfNothing(randomBlob(10).digest)
  await assert.rejects(fill.join(), (error) => isRegistryError(error, 'DIGEST_INVALID'))
  await fill.done
  assert.equal(failures.length, 1)
  assert.equal(dropped(), 1)
})

test('the empty blob is passed through if it cannot be stored', async () => {
  const { fill, failures } = fillOfNothing(blobOf(Buffer.alloc(0)).digest)
  const joined = await fill.join()
  assert.deepEqual([joined?.content.size, joined?.bypassed], [0, true])
  joined?.content.close()
  assert.deepEqual(failures, [])
})
