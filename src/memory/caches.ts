import { LRUCache } from 'lru-cache'
import { sizeOf } from './size-of.ts'

/** One bound in bytes for many caches. */
export interface CacheMemory {
  readonly max: number
  /** Bytes of all caches, estimated. */
  used(): number
  /** A cache that shares the bound. */
  create<Value extends {}, Context = unknown>(
    options?: CacheOptions<Value, Context>,
  ): LRUCache<string, Value, Context>
}

type CacheOptions<Value extends {}, Context> = Pick<
  LRUCache.Options<string, Value, Context>,
  'ttl' | 'fetchMethod' | 'ignoreFetchAbort' | 'noDeleteOnStaleGet'
> & {
  /**
   * How much more than the others it may hold when memory is short: the one that holds most for its
   * weight gives way.
   */
  readonly weight?: number
  /** Bytes of a value, where an estimate of its fields will not do. */
  readonly size?: (value: Value) => number
}

type Member = {
  readonly weight: number
  readonly cache: { readonly calculatedSize: number; readonly pop: () => unknown }
}

/** What an entry costs beside key and value: its places in the cache's tables. */
const entryOverhead = 300

/**
 * Caches that grow as they are used, and together stay below `max` bytes. So a flood that fills one of
 * them takes from that one, and what is quiet costs nothing.
 */
export function createCacheMemory(max: number): CacheMemory {
  const members: Member[] = []

  const used = (): number =>
    members.reduce((sum, { cache: { calculatedSize } }) => sum + calculatedSize, 0)

  const loadOf = ({ cache, weight }: Member): number => cache.calculatedSize / weight

  const evict = (): void => {
    while (used() > max) {
      const heaviest = members.reduce((one, other) => (loadOf(other) > loadOf(one) ? other : one))
      heaviest.cache.pop()
    }
  }

  return {
    max,
    used,
    create: <Value extends {}, Context = unknown>({
      weight = 1,
      size = sizeOf,
      ...options
    }: CacheOptions<Value, Context> = {}) => {
      const cache = new LRUCache<string, Value, Context>({
        ...options,
        maxSize: max,
        maxEntrySize: Math.ceil(max / 4),
        sizeCalculation: (value, key) => Math.ceil(entryOverhead + 2 * key.length + size(value)),
        onInsert: evict,
        // The time is looked at for each entry, and not kept for a millisecond by help of a timer.
        ttlResolution: 0,
      })
      members.push({ weight, cache })
      return cache
    },
  }
}
