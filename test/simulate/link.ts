import { createHeap, type EventQueue } from './event-queue.ts'

/** What sends bytes to many receivers at once: each transfer has the same share of it. */
export interface Link {
  transfer(bytes: number, done: () => void): void
  /** Bytes so far. */
  sent(): number
}

type LinkOptions = {
  readonly queue: EventQueue
  /** Of all transfers together, and of each, in bytes per second. */
  readonly rate: number
  readonly maxShare: number
}

/**
 * Processor sharing: all transfers advance at the same rate, so one clock of bytes per transfer tells when
 * each ends, whenever it began. The rate changes only when a transfer begins or ends.
 */
export function createLink({ queue, rate, maxShare }: LinkOptions): Link {
  const transfers = createHeap<() => void>()
  let active = 0
  /** Bytes that a transfer would have by now that has been there since the start, and when that was true. */
  let clock = 0
  let clockAt = 0
  let sent = 0
  let plan = 0

  const share = (): number => Math.min(maxShare, rate / active)
  const advance = (): void => {
    if (active > 0) clock += share() * (queue.now() - clockAt)
    clockAt = queue.now()
  }

  const schedule = (): void => {
    plan += 1
    const own = plan
    const next = transfers.first()
    if (next === undefined) return
    queue.at(queue.now() + Math.max(0, next.key - clock) / share(), () => {
      // A transfer that began or ended since then has made another plan.
      if (own === plan) finish(next.key)
    })
  }

  /** `reached` is the clock: adding up shares has rounding errors. */
  const finish = (reached: number): void => {
    clock = reached
    clockAt = queue.now()
    const ended: (() => void)[] = []
    while ((transfers.first()?.key ?? Number.POSITIVE_INFINITY) <= reached) {
      const next = transfers.take()
      if (next !== undefined) ended.push(next.value)
    }
    active -= ended.length
    schedule()
    for (const done of ended) done()
  }

  return {
    transfer: (bytes, done) => {
      sent += bytes
      advance()
      active += 1
      transfers.add(clock + bytes, done)
      schedule()
    },
    sent: () => sent,
  }
}
