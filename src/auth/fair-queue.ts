import { RegistryError } from '../oci/errors.ts'

/** Runs a bounded number of tasks at once; the others wait in lanes that take turns. */
export interface FairQueue {
  /** Whether no more may wait in this lane. */
  isFull(lane: string): boolean
  /** What `run` throws then. */
  tooMany(): RegistryError
  /** @throws RegistryError TOOMANYREQUESTS when the lane is full, or the wait took too long. */
  run<Result>(lane: string, work: () => Promise<Result>): Promise<Result>
}

type FairQueueOptions = {
  readonly maxRunning: number
  /** How many may wait in a lane. */
  readonly maxWaiting: (lane: string) => number
  /** In milliseconds. */
  readonly maxWait: number
  /** What clients are told of that is too much. */
  readonly purpose: string
}

export function createFairQueue(options: FairQueueOptions): FairQueue {
  const { maxRunning, maxWaiting, maxWait, purpose } = options
  /** In the order of their turns; none is empty. */
  const lanes = new Map<string, Set<() => void>>()
  let running = 0

  const tooMany = (): RegistryError =>
    new RegistryError('TOOMANYREQUESTS', {
      message: `too many ${purpose} at once; try again`,
      retryAfter: 1,
    })

  const remove = (lane: string, start: () => void): void => {
    const waiting = lanes.get(lane)
    waiting?.delete(start)
    if (waiting?.size === 0) lanes.delete(lane)
  }

  /** Starts the first of the lane whose turn it is, and puts that lane behind the others. */
  const startNext = (): void => {
    const [next] = lanes
    if (next === undefined) return
    const [lane, waiting] = next
    const [start] = waiting
    if (start === undefined) return
    remove(lane, start)
    if (lanes.delete(lane)) lanes.set(lane, waiting)
    start()
  }

  const wait = async (lane: string): Promise<void> => {
    const next = Promise.withResolvers<void>()
    const start = () => next.resolve()
    const timer = setTimeout(() => {
      remove(lane, start)
      next.reject(tooMany())
    }, maxWait)
    lanes.set(lane, (lanes.get(lane) ?? new Set()).add(start))
    await next.promise.finally(() => clearTimeout(timer))
  }

  const isFull = (lane: string): boolean => (lanes.get(lane)?.size ?? 0) >= maxWaiting(lane)

  /** A task that ends passes its place on: `running` counts places, not tasks. */
  const acquireSlot = async (lane: string): Promise<void> => {
    if (running < maxRunning) running += 1
    else if (isFull(lane)) throw tooMany()
    else await wait(lane)
  }

  const releaseSlot = (): void => {
    if (lanes.size === 0) running -= 1
    else startNext()
  }

  return {
    isFull,
    tooMany,
    run: async (lane, work) => {
      await acquireSlot(lane)
      try {
        return await work()
      } finally {
        releaseSlot()
      }
    },
  }
}
