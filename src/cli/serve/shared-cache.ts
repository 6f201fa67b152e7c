import type { Loaded } from '../../config/config.ts'
import type { CacheMemory, Reservations } from '../../memory/memory.ts'
import type { Outbound } from '../../outbound/outbound.ts'
import { createSharedCache, type SharedCache } from '../../shared-cache/shared-cache.ts'
import type { DiskCache } from '../../store/store.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { openBucket } from './bucket.ts'

type Options = Pick<Loaded, 'config' | 'ambient'> & {
  readonly outbound: Outbound
  readonly cache: DiskCache
  readonly caches: CacheMemory
  readonly inFlight: Reservations
  readonly telemetry: Telemetry
}

/** The second level of the cache, if one is configured. */
export async function openSharedCache(options: Options): Promise<SharedCache | undefined> {
  const { config, ...context } = options
  const { bucket, bucketTimeout, redirects } = config.storage.cache
  if (bucket === undefined) return undefined
  return createSharedCache({
    ...context,
    bucket: await openBucket(bucket, context),
    prefix: bucket.prefix,
    firstByte: bucketTimeout,
    minRedirected: redirects.minSize,
  })
}
