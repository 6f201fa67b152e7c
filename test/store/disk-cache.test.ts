import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createDiskCache } from '../../src/store/disk-cache.ts'
import { ownDirectory } from '../support/directory.ts'
import { flipBlob, temporaryFiles } from '../support/disk.ts'
import { watchedTelemetry } from '../support/telemetry.ts'
import { testBlobCache } from './blob-cache.conformance.ts'

type Options = Partial<Parameters<typeof createDiskCache>[0]>

/** A cache in a directory of the test's own. */
async function cacheOf(t: TestContext, options: Options = {}) {
  const root = options.root ?? (await ownDirectory(t))
  const watched = watchedTelemetry()
  const cache = await createDiskCache({
    root,
    maxSize: 64 * 1024 * 1024,
    minimumFree: 0,
    scrubRate: 0,
    telemetry: watched.telemetry,
    ...options,
  })
  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= cache.close()
    return closed
  }
  t.after(close)
  return { ...watched, root, cache, close }
}

testBlobCache('a disk cache', async (t, maxSize) => {
  const { root, cache, close } = await cacheOf(t, { maxSize })
  return {
    cache,
    reopen: async () => {
      await close()
      return (await cacheOf(t, { root, maxSize })).cache
    },
    damage: (digest, position) => flipBlob(root, digest, position),
    leftovers: () => temporaryFiles(root),
  }
})
