/** Gives back what was reserved; more than once does nothing. */
export type Release = () => void

/** In bytes: what takes more leaves a part of all memory, as a divisor, to what takes less. */
const large = 1024 * 1024
const shareOfSmall = 4

/**
 * Memory that is promised before it is used. A flood of long bodies does not keep out short requests,
 * which are most of them.
 */
export interface Reservations {
  readonly max: number
  /** Bytes that are reserved now. */
  used(): number
  /** Undefined when there is not so much left. */
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
