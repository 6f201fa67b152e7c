const kibibyte = 1024
const mebibyte = 1024 * kibibyte

/** Bytes that each stream may have on the way, whatever the others have. */
export const baseWindow = 32 * kibibyte
/** Bytes that all streams of a session share beyond that. */
export const sharedWindow = { base: mebibyte, max: 16 * mebibyte } as const
/** Bytes that one of them may have: 80 MB/s over 100 ms, and another stream may read nothing meanwhile. */
const maxShare = 8 * mebibyte
/** Streams of a session that are open at a time, with those that are idle; further ones wait. */
export const maxStreams = 256
/** The other end may have closed streams whose last bytes this end has not handed on yet. */
export const maxAccepted = 2 * maxStreams
/** Bytes for the base windows of streams. */
export const streamsWindow = { base: 64 * baseWindow, max: maxAccepted * baseWindow } as const
/** Bytes that are sent and not acknowledged, of one session. */
export const unacknowledgedWindow = { base: mebibyte, max: 16 * mebibyte } as const
/** Bytes that a session takes in each process while it is idle; it may grow to the maxima. */
export const sessionMemory = streamsWindow.base + sharedWindow.base + unacknowledgedWindow.base

/** What streams that hold so much use of the shared window. */
export function sharedBy(held: readonly number[]): number {
  return held.reduce((sum, bytes) => sum + Math.max(bytes - baseWindow, 0), 0)
}

/** What a stream may have of the shared window beside the others, if there is as much. */
export function shareBeside(others: readonly number[]): number {
  const fair = Math.floor(sharedWindow.max / (others.length + 1))
  return Math.max(Math.min(fair, maxShare, sharedWindow.max - sharedBy(others)), 0)
}

/**
 * How much a stream may hold: its base, and its share of what is `available` to all now. `others`: what each other
 * stream holds. What they hold beyond their base is never granted twice, so the sum has a limit.
 */
export function windowOf(others: readonly number[], available: number): number {
  return baseWindow + Math.max(Math.min(shareBeside(others), available - sharedBy(others)), 0)
}
