/**
 * Options that keep an lru-cache to so many entries. Its own `max` would reserve memory for all of
 * them at once, for each of many caches; counted like this it grows as it is filled. Time is looked at
 * each time, and not remembered for a millisecond by help of a timer.
 */
export function limitEntries(entries: number) {
  return { maxSize: entries, sizeCalculation: () => 1, ttlResolution: 0 } as const
}
