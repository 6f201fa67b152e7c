import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Digest } from '../../src/oci/digest.ts'
import { createBucketStore, createDiskCache, type ObjectStore } from '../../src/store/store.ts'
import { ownDirectory } from './directory.ts'
import { temporaryFiles } from './disk.ts'
import type { HostedUnderTest } from './hosted-store.ts'
import { watchedTelemetry } from './telemetry.ts'

export type BucketUnderTest = HostedUnderTest & {
  /** Of Last-Modified. */
  readonly clockStep: number
  readonly objects: ObjectStore
  /** Another replica on the same bucket. */
  another(): Promise<BucketUnderTest>
}

/** A bucket before each of whose requests something happens. The first request has the number 1. */
export function watchedBucket(
  objects: ObjectStore,
  before: (count: number) => Promise<void>,
): ObjectStore {
  let count = 0
  const step = async <Result>(request: () => Promise<Result>): Promise<Result> => {
    count += 1
    await before(count)
    return request()
  }
  return {
    ...objects,
    get: (...request) => step(() => objects.get(...request)),
    read: (key) => step(() => objects.read(key)),
    head: (key) => step(() => objects.head(key)),
    put: (...request) => step(() => objects.put(...request)),
    delete: (keys) => step(() => objects.delete(keys)),
  }
}

/** A store of hosted repositories in a part of a bucket, closed at the end of the test. */
export async function bucketStore(
  t: TestContext,
  objects: ObjectStore,
  prefix = `test-${randomUUID()}`,
  uptime?: () => number,
): Promise<BucketUnderTest> {
  const root = await ownDirectory(t)
  const watched = watchedTelemetry()
  const restored: Digest[] = []
  const cache = await createDiskCache({
    root: join(root, 'cache'),
    maxSize: 2 ** 30,
    minimumFree: 0,
    scrubRate: 0,
    scrubInterval: 1000,
    telemetry: watched.telemetry,
  })
  const store = await createBucketStore({
    objects,
    prefix,
    directory: join(root, 'hosted'),
    cache,
    telemetry: watched.telemetry,
    ...(uptime && { uptime }),
    onRestored: (digest) => void restored.push(digest),
  })
  let isOpen = true
  const close = async () => {
    if (!isOpen) return
    isOpen = false
    await store.close()
    await cache.close()
  }
  t.after(close)
  return {
    ...watched,
    root: prefix,
    clockStep: 1000,
    objects,
    store,
    restored,
    leftovers: () => temporaryFiles(join(root, 'hosted')),
    restarted: async () => {
      await close()
      return bucketStore(t, objects, prefix)
    },
    another: () => bucketStore(t, objects, prefix),
  }
}
