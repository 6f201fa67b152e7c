import { RegistryError } from '../oci/errors.ts'

/**
 * Gives back what it stands for; more than once does nothing. What was not used after all does not
 * count in the rate.
 */
export type Release = (use?: 'unused') => void

/** A bounded number of places, given at a bounded rate, and a bounded queue before them. */
export interface Slots {
  /** @throws RegistryError UNAVAILABLE when the queue is full, or the wait is over. */
  take(): Promise<Release>
}

type SlotsOptions = {
  readonly limit: number
  /** How many places are given in a second, once as many have been given at once. */
  readonly perSecond: number
  /** How many may wait. */
  readonly queue: number
  /** How long one may wait, in milliseconds. */
  readonly patience: number
  /** What the places are for, in the error's words. */
  readonly purpose: string
}

export function createSlots({ limit, perSecond, queue, patience, purpose }: SlotsOptions): Slots {
  let taken = 0
  const waiting = new Set<() => void>()
  const pace = createPace(perSecond)
  let nextTurn: NodeJS.Timeout | undefined

  const release = (): Release => {
    let given = false
    return (use) => {
      if (given) return
      given = true
      taken -= 1
      if (use === 'unused') {
        pace.back()
        clearTimeout(nextTurn)
        nextTurn = undefined
      }
      admit()
    }
  }

  /** Lets in, in the order of asking, whoever may come in now. */
  const admit = (): void => {
    for (const enter of waiting) {
      if (taken >= limit || nextTurn !== undefined) return
      const wait = pace.wait()
      if (wait > 0) nextTurn = setTimeout(takeTurn, wait)
      else {
        pace.step()
        taken += 1
        enter()
      }
    }
  }

  const takeTurn = (): void => {
    nextTurn = undefined
    admit()
  }

  const refuse = (): RegistryError =>
    new RegistryError('UNAVAILABLE', {
      message: `too many ${purpose} at once: ${taken} are running and ${waiting.size} are waiting`,
      retryAfter: 2,
    })

  return {
    take: () => {
      const turn = Promise.withResolvers<Release>()
      const enter = () => {
        clearTimeout(timer)
        waiting.delete(enter)
        turn.resolve(release())
      }
      const leave = () => {
        clearTimeout(timer)
        waiting.delete(enter)
        turn.reject(refuse())
      }
      const timer = setTimeout(leave, patience)
      waiting.add(enter)
      admit()
      if (waiting.size > queue) leave()
      return turn.promise
    },
  }
}

/**
 * GCRA: `next` is when the next one would be due if all came evenly; they may come ahead of that by
 * a second's worth.
 */
function createPace(perSecond: number) {
  const interval = 1000 / perSecond
  const ahead = 1000 - interval
  let next = 0
  return {
    /** Milliseconds until there may be one more. */
    wait: (): number => Math.floor(next - ahead - performance.now()),
    step: (): void => {
      next = Math.max(next, performance.now()) + interval
    },
    back: (): void => {
      next -= interval
    },
  }
}
