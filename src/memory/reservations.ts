/** Gives back what was reserved; more than once does nothing. */
export type Release = () => void

/** Memory that is promised before it is used. */
export interface Reservations {
  readonly max: number
  /** Bytes that are reserved now. */
  used(): number
  /** Undefined when there is not so much left. */
  reserve(bytes: number): Release | undefined
}

export function createReservations(max: number): Reservations {
  let used = 0
  return {
    max,
    used: () => used,
    reserve: (bytes) => {
      if (used + bytes > max) return undefined
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
