/** Releases a reservation; further calls have no effect. */
export type Release = () => void

/** In bytes. Larger reservations leave a quarter of the memory to smaller ones. */
const large = 1024 * 1024
const shareOfSmall = 4

/**
 * Memory that is reserved before it is used. A flood of long bodies leaves room for short requests,
 * which are most of them.
 */
export interface Reservations {
  readonly max: number
  /** Bytes that are reserved. */
  used(): number
  /** Undefined when less than `bytes` is free. */
  reserve(bytes: number): Release | undefined
}

export function createReservations(max: number): Reservations {
  const maxForLarge = max - max / shareOfSmall
  let used = 0
  return {
    max,
    used: () => used,
    reserve: (bytes) => {
      if (used + bytes > (bytes > large ? maxForLarge : max)) return undefined
      used += bytes
      let isReleased = false
      return () => {
        if (isReleased) return
        isReleased = true
        used -= bytes
      }
    },
  }
}
