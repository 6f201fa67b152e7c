import type { Dispatcher } from 'undici'
import type { Chunks } from '../memory/memory.ts'
import { toUpstreamFailure } from './faults.ts'

/** Unread bytes that are buffered before the upstream has to wait. */
const maxQueued = 1024 * 1024
/** How long a body may be slow before its rate is checked, in milliseconds of waiting for it. */
const rateWindow = 10_000
/**
 * A small remainder is read, so that the connection can be reused: max bytes, and max milliseconds.
 */
const maxDrained = 64 * 1024
const maxDrainTime = 1000

/**
 * The body of one answer, for one reader. Each step returns all bytes that arrived since the
 * previous step, so that a reader slower than the upstream takes larger steps, not more steps. It
 * rejects with a RegistryError when the body breaks, stalls or is too slow, after it has returned
 * all bytes that arrived before.
 */
export type Body = AsyncIterable<Chunks, void, undefined>

/** The side that the HTTP client writes to. */
export interface BodySink {
  readonly body: Body
  /** Resolves when the client has finished with the body, read or not. */
  readonly settled: Promise<void>
  push(chunk: Buffer): void
  end(): void
  fail(error: unknown): void
  /** Discards the unread remainder. */
  drop(): void
}

type BodySinkOptions = {
  readonly controller: Pick<Dispatcher.DispatchController, 'pause' | 'resume' | 'abort'>
  readonly origin: string
  /** The remaining length in bytes; undefined when it is not known. */
  readonly length: number | undefined
  /** Bytes per second. */
  readonly minimumRate: number
}

export function createBodySink(options: BodySinkOptions): BodySink {
  const { controller, origin, length, minimumRate } = options
  const settled = Promise.withResolvers<void>()
  let queue: Buffer[] = []
  let queued = 0
  let received = 0
  let isEnded = false
  let isDropped = false
  let failure: { readonly error: unknown } | undefined
  let arrival: PromiseWithResolvers<void> | undefined
  const rateCheck = createRateCheck(minimumRate)

  const wake = (): void => {
    arrival?.resolve()
    arrival = undefined
  }

  const take = (): Chunks => {
    const taken = queue
    const wasFull = queued > maxQueued
    queue = []
    queued = 0
    // Last: resuming delivers the held-back bytes before it returns, and may fill the queue again.
    if (wasFull) controller.resume()
    return taken
  }

  const next = async (): Promise<IteratorResult<Chunks, void>> => {
    while (queue.length === 0) {
      if (failure !== undefined) throw toUpstreamFailure(failure.error, origin)
      if (isEnded || isDropped) return { done: true, value: undefined }
      arrival = Promise.withResolvers()
      const since = performance.now()
      await arrival.promise
      if (!rateCheck.isEnough(performance.now() - since, received))
        controller.abort(new BelowRate())
    }
    return { done: false, value: take() }
  }

  const drop = (): void => {
    if (isDropped) return
    isDropped = true
    take()
    wake()
    const rest = length === undefined ? Number.POSITIVE_INFINITY : length - received
    if (isEnded || failure !== undefined) return
    const abort = () => controller.abort(new Error('the rest of the body is not needed'))
    if (rest > maxDrained) return abort()
    const timer = setTimeout(abort, maxDrainTime)
    void settled.promise.then(() => clearTimeout(timer))
  }

  return {
    body: {
      [Symbol.asyncIterator]: () => ({
        next,
        return: async () => {
          drop()
          return { done: true, value: undefined }
        },
      }),
    },
    settled: settled.promise,
    push: (chunk) => {
      received += chunk.length
      if (isDropped) return
      queue.push(chunk)
      queued += chunk.length
      if (queued > maxQueued) controller.pause()
      wake()
    },
    end: () => {
      isEnded = true
      settled.resolve()
      wake()
    },
    fail: (error) => {
      failure = { error }
      settled.resolve()
      wake()
    },
    drop,
  }
}

/**
 * The HTTP client's own timeout detects silence only: one byte per second satisfies it
 * indefinitely. Only the time spent waiting for the upstream counts, not the reader's time.
 */
function createRateCheck(minimumRate: number) {
  let waited = 0
  let before = 0
  return {
    isEnough: (milliseconds: number, received: number): boolean => {
      waited += milliseconds
      if (waited < rateWindow) return true
      const rate = (received - before) / (waited / 1000)
      waited = 0
      before = received
      return rate >= minimumRate
    },
  }
}

/** The cause of an UpstreamFailure: bytes of the body arrive, too slowly. */
export class BelowRate extends Error {
  readonly code = 'UND_ERR_BODY_TIMEOUT'

  constructor() {
    super('the body arrives too slowly')
  }
}
