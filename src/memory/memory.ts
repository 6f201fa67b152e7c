import { type CacheMemory, createCacheMemory } from './caches.ts'
import { createReservations, type Reservations } from './reservations.ts'

export type { CacheMemory } from './caches.ts'
export { bytesIn, type Chunks, freeChunks, withoutFirst } from './chunks.ts'
export { defaultMemoryLimit } from './limit.ts'
export { limitEntries } from './limit-entries.ts'
export { limitPerTurn } from './limit-per-turn.ts'
export { limitTasks, type TaskLimit } from './limit-tasks.ts'
export { connectionsWithin, maxOpenFiles, surplusWithin } from './open-files.ts'
export type { Release, Reservations } from './reservations.ts'
export { createTurns } from './turns.ts'

/** The memory of the process, divided between caches and work in flight. */
export type Memory = {
  /** Bytes that the process may use. */
  readonly limit: number
  /** For all caches. */
  readonly caches: CacheMemory
  /** For open connections. When it is used up, idle connections are closed. */
  readonly connections: Reservations
  /** For requests and buffers. When it is used up, new requests get 503. */
  readonly inFlight: Reservations
}

const mebibyte = 1024 * 1024
/** Bytes of Node, its libraries and our code before the first request. */
const baseUse = 96 * mebibyte
/** Percent of the rest. What remains is for garbage that is not collected yet. */
const shares = { caches: 20, connections: 10, inFlight: 30 } as const
/** More does not improve the hit rate: only manifests, tags and lists are cached in memory. */
const maxCaches = 256 * mebibyte

/** `limit`: bytes that the process may use. */
export function createMemory(limit: number): Memory {
  const available = Math.max(limit - baseUse, limit / 4)
  const share = (of: keyof typeof shares) => Math.floor((available * shares[of]) / 100)
  return {
    limit,
    caches: createCacheMemory(Math.min(share('caches'), maxCaches)),
    connections: createReservations(share('connections')),
    inFlight: createReservations(share('inFlight')),
  }
}
