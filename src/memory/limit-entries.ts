/**
 * Options that limit an lru-cache to so many entries. Its `max` option allocates memory for all entries
 * in advance; with `maxSize` the cache grows as it fills. `ttlResolution: 0` avoids a timer.
 */
export function limitEntries(entries: number) {
  return { maxSize: entries, sizeCalculation: () => 1, ttlResolution: 0 } as const
}
