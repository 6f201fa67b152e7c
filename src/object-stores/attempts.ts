import { setTimeout as sleep } from 'node:timers/promises'
import { isRegistryError } from '../oci/errors.ts'
import { createBreaker, describeFault } from '../outbound/outbound.ts'
import { ObjectStoreError, type ObjectStoreFailure } from '../store/store.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'

/** Why one request failed. */
export type RequestFailure = {
  readonly failure: ObjectStoreFailure
  /** Code and text of the store, or of the network. */
  readonly why: string
  readonly advice?: string | undefined
  readonly canRetry: boolean
  /** Seconds. */
  readonly retryAfter?: number | undefined
  /** No connection, or it broke: counted by the breaker. */
  readonly isNetwork?: boolean
}

/** Without an answer. */
export function networkFailure(error: unknown): RequestFailure {
  const { why, advice } = describeFault(error)
  return { failure: 'unreachable', why, advice, canRetry: true, isNetwork: true }
}

const maxAttempts = 4
/** Milliseconds before the second attempt; doubles, and varies so that clients do not come together. */
const firstDelay = 200
/** The longest Retry-After that is waited for, in milliseconds. */
const maxDelay = 5000

type AttemptsOptions = {
  /** The bucket, in messages. */
  readonly name: string
  /** Scheme, host and port. */
  readonly origin: string
  readonly classify: (error: unknown) => RequestFailure
  readonly telemetry: Telemetry
}

/**
 * Runs requests that may be repeated: with delays that grow, and not while the host cannot be
 * connected to.
 */
export function createAttempts({ name, origin, classify, telemetry }: AttemptsOptions) {
  const breaker = createBreaker({
    origin,
    onChange: (isOpen) =>
      telemetry.log.warn({ bucket: name, isOpen }, 'breaker of the object store has changed'),
  })

  const attempt = async <Result>(what: string, work: () => Promise<Result>): Promise<Result> => {
    breaker.enter()
    try {
      const result = await work()
      breaker.succeeded()
      return result
    } catch (error) {
      const { isNetwork, why } = classify(error)
      if (isNetwork) breaker.failed(`${what}: ${why}`)
      else breaker.succeeded()
      throw error
    }
  }

  return {
    /** `what`: what is attempted, such as `write docker/…`. */
    run: async <Result>(
      what: string,
      work: () => Promise<Result>,
      signal?: AbortSignal,
    ): Promise<Result> => {
      for (let count = 1; ; count += 1) {
        try {
          return await attempt(what, work)
        } catch (error) {
          signal?.throwIfAborted()
          if (isRegistryError(error))
            throw new ObjectStoreError('unreachable', {
              message: `cannot ${what} in ${name}: ${error.message}`,
              retryAfter: error.retryAfter ?? 1,
              cause: error,
            })
          const { failure, why, advice, canRetry, retryAfter } = classify(error)
          if (!canRetry || count === maxAttempts)
            throw new ObjectStoreError(failure, {
              message: `cannot ${what} in ${name}: ${why}`,
              advice,
              ...(canRetry && { retryAfter: retryAfter ?? 1 }),
              cause: error,
            })
          const delay = firstDelay * 2 ** (count - 1) * (0.5 + Math.random())
          await sleep(Math.min(Math.max((retryAfter ?? 0) * 1000, delay), maxDelay), undefined, {
            ...(signal && { signal }),
          })
        }
      }
    },
    problem: breaker.problem,
  }
}
