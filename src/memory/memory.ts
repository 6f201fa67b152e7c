import { type CacheMemory, createCacheMemory } from './caches.ts'
import { createReservations, type Reservations } from './reservations.ts'

export type { CacheMemory } from './caches.ts'
export { bytesIn, type Chunks, freeChunks, withoutFirst } from './chunks.ts'
export { defaultMemoryLimit } from './limit.ts'
export { limitEntries } from './limit-entries.ts'
export type { Release, Reservations } from './reservations.ts'
export { createTurns } from './turns.ts'

/** What the process may use, divided between what is kept and what is in flight. */
export type Memory = {
  /** Bytes of the process in all. */
  readonly limit: number
  /** All caches together. */
  readonly caches: CacheMemory
  /** Open connections, idle or not. Beyond it, idle ones give way. */
  readonly connections: Reservations
  /** Requests and buffers. Beyond it, new work gets 503. */
  readonly inFlight: Reservations
}

const mebibyte = 1024 * 1024
/** What Node, its libraries and our code take before the first request. */
const baseUse = 96 * mebibyte
/** Of the rest, in hundredths: caches, connections, and what is in flight. What is left is garbage of the collector. */
const shares = { caches: 20, connections: 10, inFlight: 30 } as const
/** More does not make a hit more likely: only manifests, tags and lists are cached in memory. */
const maxCaches = 256 * mebibyte

/** `limit` in bytes: what the process may use in all. */
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
