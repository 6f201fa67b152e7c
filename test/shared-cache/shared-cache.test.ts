import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMemory } from '../../src/memory/memory.ts'
import { createSharedCache } from '../../src/shared-cache/shared-cache.ts'
import { type Bucket, ObjectStoreError } from '../../src/store/store.ts'
import { randomBlob } from '../support/images.ts'
import { watchedTelemetry } from '../support/telemetry.ts'
import { until } from '../support/until.ts'

type Options = Parameters<typeof createSharedCache>[0]

test('uploads that are denied are said to be, once, although the bucket accepts others', async () => {
  const { telemetry, logs, metric } = watchedTelemetry()
  let isDenied = true
  const bucket = {
    name: 's3://b',
    problem: () => undefined,
    put: async () => {
      if (isDenied) throw new ObjectStoreError('denied', { message: '403 AccessDenied' })
      return { kind: 'created', version: '1' }
    },
    close: async () => {},
  } as unknown as Bucket
  const cache = {
    open: async () => ({ size: 10, close: () => {} }),
    pathOf: () => '/cache/blob',
  } as unknown as Options['cache']
  const { caches, inFlight } = createMemory(2 ** 28)
  const shared = createSharedCache({
    ...{ bucket, prefix: 'p', firstByte: 1000, minRedirected: 1000 },
    ...{ cache, caches, inFlight, telemetry },
  })
  const upload = () => shared.origin.fetched?.(randomBlob(10).digest, 10)
  const uploaded = (result: string, count: number) =>
    until(`${count} uploads are ${result}`, async () =>
      assert.equal(await metric(`berth_shared_cache_uploads_total{result="${result}"}`), count),
    )
  upload()
  upload()
  await uploaded('failed', 2)
  assert.equal(shared.problem(), '403 AccessDenied')
  assert.equal(logs().filter(({ level }) => level === 'warn').length, 1)
  isDenied = false
  upload()
  await uploaded('stored', 1)
  assert.equal(shared.problem(), undefined)
  await shared.close()
})
