import { limitPerTurn } from '../memory/memory.ts'

/** Bytes that are hashed in one turn of the event loop, in about 2 ms. */
const maxPerTurn = 2 * 1024 * 1024

/** Resolves when so many bytes may be hashed: many blobs arrive at once, and their hashes add up. */
export type HashTurns = (bytes: number) => Promise<void>

export function createHashTurns(): HashTurns {
  return limitPerTurn(maxPerTurn)
}
