import { RegistryError } from '../oci/errors.ts'

/** Runs a limited number of tasks at once; the others wait in lanes that take turns. */
export interface FairQueue {
  /** Whether the lane has no room for another waiting task. */
  isFull(lane: string): boolean
  /** The error that `run` throws then. */
  tooMany(): RegistryError
  /** @throws RegistryError TOOMANYREQUESTS if the lane is full or the wait exceeds `maxWait`. */
  run<Result>(lane: string, work: () => Promise<Result>): Promise<Result>
}

type FairQueueOptions = {
  readonly maxRunning: number
  /** Maximum number of waiting tasks in a lane. */
  readonly maxWaiting: (lane: string) => number
  /** In milliseconds. */
  readonly maxWait: number
  /** Name of the tasks in the error message. */
  readonly purpose: string
}

export function createFairQueue(options: FairQueueOptions): FairQueue {
  const { maxRunning, maxWaiting, maxWait, purpose } = options
  /** In the order of their turns; no lane is empty. */
  const lanes = new Map<string, Set<() => void>>()
  let running = 0

  const tooMany = (): RegistryError =>
    new RegistryError('TOOMANYREQUESTS', {
      message: `too many ${purpose} at once; retry`,
      retryAfter: 1,
    })

  const remove = (lane: string, start: () => void): void => {
    const waiting = lanes.get(lane)
    waiting?.delete(start)
    if (waiting?.size === 0) lanes.delete(lane)
  }

  /** Starts the first task of the next lane and moves that lane to the end. */
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

  /** A task that ends passes its slot on: `running` counts slots in use. */
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
