/** Bytes that each stream may have on the way, whatever the others have. */
export const baseWindow = 32 * 1024
/** Bytes that all streams of a session share beyond that, and those that one of them may have. */
const sharedWindow = 4 * 1024 * 1024
const maxShare = 2 * 1024 * 1024
/** Streams of a session that are open at a time; further ones wait. */
export const maxStreams = 64
/** Bytes that are sent and not acknowledged, of one session. */
export const maxUnacknowledged = 4 * 1024 * 1024
/** Bytes that a session takes at most, in each process. */
export const sessionMemory = 2 * maxStreams * baseWindow + sharedWindow + maxUnacknowledged

/**
 * How much a stream may hold: its base, and an equal part of what all share. `others`: what each other stream holds.
 * What they hold beyond their base is never granted twice, so the sum has a limit.
 */
export function windowOf(others: readonly number[]): number {
  const used = others.reduce((sum, held) => sum + Math.max(held - baseWindow, 0), 0)
  const share = Math.floor(sharedWindow / (others.length + 1))
  return baseWindow + Math.max(Math.min(share, maxShare, sharedWindow - used), 0)
}
