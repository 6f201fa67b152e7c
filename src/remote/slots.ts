import { RegistryError } from '../oci/errors.ts'

/** Gives back what it stands for; more than once does nothing. */
export type Release = () => void

/** A bounded number of places, and a bounded queue before them. */
export interface Slots {
  /** @throws RegistryError UNAVAILABLE when the queue is full, or the wait is over. */
  take(): Promise<Release>
}

type SlotsOptions = {
  readonly limit: number
  /** How many may wait. */
  readonly queue: number
  /** How long one may wait, in milliseconds. */
  readonly patience: number
  /** What the places are for, in the error's words. */
  readonly purpose: string
}

export function createSlots({ limit, queue, patience, purpose }: SlotsOptions): Slots {
  let taken = 0
  const waiting = new Set<() => void>()

  const release = (): Release => {
    let given = false
    return () => {
      if (given) return
      given = true
      const [next] = waiting
      if (next === undefined) taken -= 1
      else next()
    }
  }

  const refuse = (): RegistryError =>
    new RegistryError('UNAVAILABLE', {
      message: `too many ${purpose} at once: ${limit} are running and ${waiting.size} are waiting`,
      retryAfter: 2,
    })

  return {
    take: () => {
      if (taken < limit) {
        taken += 1
        return Promise.resolve(release())
      }
      if (waiting.size >= queue) return Promise.reject(refuse())
      const turn = Promise.withResolvers<Release>()
      const enter = () => {
        clearTimeout(timer)
        waiting.delete(enter)
        turn.resolve(release())
      }
      const timer = setTimeout(() => {
        waiting.delete(enter)
        turn.reject(refuse())
      }, patience)
      waiting.add(enter)
      return turn.promise
    },
  }
}
