import { RegistryError } from '../oci/errors.ts'

/**
 * Releases the slot; further calls do nothing. A slot that was not used does not count in the rate.
 */
export type Release = (use?: 'unused') => void

/** Who requests a slot, and with which limits. */
export type Claim = {
  /** Slots are shared fairly between repositories, and between clients. */
  readonly repository?: string
  readonly client?: string | undefined
  /** Milliseconds, if less than the default. */
  readonly maxWait?: number
  readonly signal?: AbortSignal | undefined
  /**
   * Called while others wait. True when no client needs the transfer that uses the slot: the
   * transfer then ends, and the slot is released soon.
   */
  readonly releaseSlot?: (() => boolean) | undefined
}

/**
 * A bounded number of slots, granted at a bounded rate, with a bounded queue. A repository may hold
 * as many as it leaves free, and a client three times as many, because all pods of a node may be
 * one client: therefore a slot is nearly always free for a new owner. The queue serves the request
 * whose owners hold the smallest share first, and among those the one whose owners waited longest
 * since their last slot.
 */
export interface Slots {
  /** @throws RegistryError UNAVAILABLE when the queue is full, or the wait times out. */
  take(claim?: Claim): Promise<Release>
}

export type SlotsOptions = {
  readonly limit: number
  /** Slots granted per second, after an initial burst of as many. */
  readonly perSecond: number
  /** Maximum length of the queue. */
  readonly maxQueue: number
  /** Maximum wait, in milliseconds. */
  readonly maxWait: number
  /** What the slots are for, in error messages. */
  readonly purpose: string
}

/** How often holders are checked for slots to release, in milliseconds. */
const releaseInterval = 1000

/** A repository or a client. It may hold `weight` slots for each free one. */
type Owner = { readonly weight: number; held: number; waiting: number; lastTurn: number }
type Waiter = { readonly owners: readonly Owner[]; readonly grant: () => void }

export function createSlots(options: SlotsOptions): Slots {
  const { limit, perSecond, maxQueue, maxWait, purpose } = options
  const owners = createOwners()
  const waiting = new Set<Waiter>()
  const releasable = new Set<() => boolean>()
  const rate = createRate(perSecond)
  let taken = 0
  let turns = 0
  let nextTurn: NodeJS.Timeout | undefined
  let releaseTimer: NodeJS.Timeout | undefined

  const mayTake = ({ owners }: Waiter): boolean =>
    owners.every(({ held, weight }) => held < (limit - taken) * weight)

  /** The next request to serve, of those that may hold a slot. */
  const next = (): Waiter | undefined => {
    let best: Waiter | undefined
    for (const waiter of waiting) {
      if (best !== undefined && !isBefore(waiter, best)) continue
      if (mayTake(waiter)) best = waiter
    }
    return best
  }

  const admit = (): void => {
    while (taken < limit && nextTurn === undefined) {
      const waiter = next()
      if (waiter === undefined) return
      const pause = rate.wait()
      if (pause > 0) nextTurn = setTimeout(takeTurn, pause)
      else grant(waiter)
    }
  }

  const grant = (waiter: Waiter): void => {
    rate.use()
    taken += 1
    turns += 1
    for (const owner of waiter.owners) {
      owner.held += 1
      owner.lastTurn = turns
    }
    waiter.grant()
  }

  const takeTurn = (): void => {
    nextTurn = undefined
    admit()
  }

  /** Releases as many slots as there are waiting requests; longest held first. */
  const askForRelease = (): void => {
    clearTimeout(releaseTimer)
    releaseTimer = undefined
    if (waiting.size === 0) return
    if (nextTurn === undefined) {
      let needed = waiting.size
      for (const releaseSlot of releasable) {
        if (needed === 0) break
        if (!releaseSlot()) continue
        releasable.delete(releaseSlot)
        needed -= 1
      }
    }
    if (releasable.size > 0) releaseTimer = setTimeout(askForRelease, releaseInterval)
  }

  const releaseOf = (claim: Claim, held: readonly Owner[]): Release => {
    let released = false
    if (claim.releaseSlot !== undefined) releasable.add(claim.releaseSlot)
    return (use) => {
      if (released) return
      released = true
      if (claim.releaseSlot !== undefined) releasable.delete(claim.releaseSlot)
      taken -= 1
      for (const owner of held) owner.held -= 1
      owners.removeUnused()
      if (use === 'unused') {
        rate.refund()
        clearTimeout(nextTurn)
        nextTurn = undefined
      }
      admit()
    }
  }

  const rejection = (): RegistryError =>
    new RegistryError('UNAVAILABLE', {
      message: `too many ${purpose} at once: ${taken} in flight and ${waiting.size} waiting; retry`,
      retryAfter: 2,
    })

  return {
    take: (claim = {}) => {
      const { signal } = claim
      const turn = Promise.withResolvers<Release>()
      const held = owners.of(claim)
      const waiter: Waiter = {
        owners: held,
        grant: () => {
          stopWaiting()
          turn.resolve(releaseOf(claim, held))
        },
      }
      const stopWaiting = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
        waiting.delete(waiter)
        for (const owner of held) owner.waiting -= 1
      }
      const stopWith = (reason: () => unknown) => {
        stopWaiting()
        owners.removeUnused()
        turn.reject(reason())
      }
      const abort = () => stopWith(() => signal?.reason)
      const timer = setTimeout(
        () => stopWith(rejection),
        Math.max(0, Math.min(maxWait, claim.maxWait ?? maxWait)),
      )
      for (const owner of held) owner.waiting += 1
      waiting.add(waiter)
      signal?.addEventListener('abort', abort, { once: true })
      if (signal?.aborted) abort()
      admit()
      if (waiting.size > maxQueue && waiting.has(waiter)) stopWith(rejection)
      if (waiting.size > 0 && releaseTimer === undefined) askForRelease()
      return turn.promise
    },
  }
}

const weights = { repository: 1, client: 3 } as const

/** Owners that hold or wait for slots; others are forgotten. */
function createOwners() {
  const byKey = new Map<string, Owner>()
  const find = (kind: keyof typeof weights, name: string): Owner => {
    const key = `${kind} ${name}`
    const owner = byKey.get(key) ?? { weight: weights[kind], held: 0, waiting: 0, lastTurn: 0 }
    byKey.set(key, owner)
    return owner
  }
  return {
    of: ({ repository, client }: Claim): readonly Owner[] => [
      ...(repository === undefined ? [] : [find('repository', repository)]),
      ...(client === undefined ? [] : [find('client', client)]),
    ],
    removeUnused: (): void => {
      for (const [key, owner] of byKey)
        if (owner.held === 0 && owner.waiting === 0) byKey.delete(key)
    },
  }
}

function isBefore(one: Waiter, other: Waiter): boolean {
  const share = shareOf(one) - shareOf(other)
  return share < 0 || (share === 0 && lastTurnOf(one) < lastTurnOf(other))
}

function shareOf({ owners }: Waiter): number {
  return Math.max(0, ...owners.map(({ held, weight }) => held / weight))
}

function lastTurnOf({ owners }: Waiter): number {
  return Math.max(0, ...owners.map(({ lastTurn }) => lastTurn))
}

/**
 * GCRA: `next` is when the next slot would be due at an even rate; slots may be granted up to one
 * second's worth earlier.
 */
function createRate(perSecond: number) {
  const interval = 1000 / perSecond
  const ahead = 1000 - interval
  let next = 0
  return {
    /** Milliseconds until the next slot may be granted. */
    wait: (): number => Math.floor(next - ahead - performance.now()),
    use: (): void => {
      next = Math.max(next, performance.now()) + interval
    },
    refund: (): void => {
      next -= interval
    },
  }
}
