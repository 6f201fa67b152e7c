import type { CacheMemory } from '../../memory/memory.ts'

/** How long a result is valid in milliseconds, and as a multiple of the time that it took. */
const minLife = 10_000
const lifeFactor = 50

type Compute<Value> = () => Promise<Value>

/** Computes once for all who ask for a key at the same time, or shortly afterwards. */
export function createRecent<Value extends {}>(
  caches: CacheMemory,
): (key: string, compute: Compute<Value>) => Promise<Value> {
  const memory = caches.create<Value, Compute<Value>>({
    ttl: minLife,
    ignoreFetchAbort: true,
    fetchMethod: async (_key, _stale, { options, context }) => {
      const start = performance.now()
      const value = await context()
      options.ttl = Math.max(minLife, lifeFactor * (performance.now() - start))
      return value
    },
  })
  return async (key, compute) =>
    (await memory.fetch(key, { context: compute })) ?? (await compute())
}
