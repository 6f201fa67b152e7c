import { LRUCache } from 'lru-cache'
import { sizeOf } from './size-of.ts'

/** One limit in bytes for many caches. */
export interface CacheMemory {
  readonly max: number
  /** Estimated bytes of all caches. */
  used(): number
  /** Creates a cache that shares the limit. */
  create<Value extends {}, Context = unknown>(
    options?: CacheOptions<Value, Context>,
  ): LRUCache<string, Value, Context>
}

type CacheOptions<Value extends {}, Context> = Pick<
  LRUCache.Options<string, Value, Context>,
  'ttl' | 'fetchMethod' | 'ignoreFetchAbort' | 'noDeleteOnStaleGet'
> & {
  /**
   * The share of the limit relative to other caches (default: 1). When memory is short, the cache with
   * the most bytes per weight evicts an entry.
   */
  readonly weight?: number
  /** Bytes of a value, instead of an estimate by its fields. */
  readonly size?: (value: Value) => number
}

type Member = {
  readonly weight: number
  readonly cache: { readonly calculatedSize: number; readonly pop: () => unknown }
}

/** Bytes of an entry besides key and value, in the tables of lru-cache. */
const entryOverhead = 300

/**
 * Creates caches that together stay below `max` bytes. A flood of entries in one cache evicts entries of
 * that cache, and an unused cache takes no memory.
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
        // Read the clock at each access, instead of caching it with a timer for each millisecond.
        ttlResolution: 0,
      })
      members.push({ weight, cache })
      return cache
    },
  }
}
