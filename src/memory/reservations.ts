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
  /** Undefined when less than `bytes` is free. The only large one fits whatever its size, and counts as what is free. */
  reserve(bytes: number): Release | undefined
}

export function createReservations(max: number): Reservations {
  const maxForLarge = max - max / shareOfSmall
  let used = 0
  let largeOnes = 0
  return {
    max,
    used: () => used,
    reserve: (requested) => {
      const isLarge = requested > large
      const isOnly = isLarge && largeOnes === 0 && used < max / shareOfSmall
      const bytes = isOnly ? Math.min(requested, maxForLarge - used) : requested
      if (used + bytes > (isLarge ? maxForLarge : max)) return undefined
      used += bytes
      if (isLarge) largeOnes += 1
      let isReleased = false
      return () => {
        if (isReleased) return
        isReleased = true
        used -= bytes
        if (isLarge) largeOnes -= 1
      }
    },
  }
}
