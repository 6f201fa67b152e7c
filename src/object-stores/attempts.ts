import { setTimeout as sleep } from 'node:timers/promises'
import { isRegistryError } from '../oci/errors.ts'
import { createBreaker, describeFault } from '../outbound/outbound.ts'
import { type ObjectAccess, ObjectStoreError, type ObjectStoreFailure } from '../store/store.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { createDenials } from './denials.ts'

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
  /** The store accepted the request, and was silent. */
  readonly isSilent?: boolean
  /** The connection ended before the answer did. */
  readonly isBroken?: boolean
  /** No request was sent: there are no keys to sign it with. */
  readonly isUnsigned?: boolean
}

/** Without an answer. */
export function networkFailure(error: unknown): RequestFailure {
  const { fault, why, advice } = describeFault(error)
  const isSilent = fault === 'slow'
  return {
    failure: 'unreachable',
    why,
    advice: isSilent ? 'see whether the object store is overloaded or has stopped' : advice,
    canRetry: true,
    isNetwork: true,
    isSilent,
    isBroken: fault === 'broken',
  }
}

/**
 * Milliseconds without any byte of a response until a request fails. Longer for what may take the store a while: it
 * verifies and replicates what it gets, and searches for a listing.
 */
export function timeoutsOf(isQuick: boolean) {
  const timeout = isQuick ? 10_000 : 30_000
  return { headersTimeout: timeout, bodyTimeout: timeout }
}

const maxAttempts = 4
/** A client waits for so many times the timeout. */
const maxSilentAttempts = 2
/** Milliseconds before the second attempt; doubles, and varies so that clients do not come together. */
const firstDelay = 200
/** The longest Retry-After that is waited for, in milliseconds. */
const maxDelay = 5000

/** Milliseconds. The breaker lets a request pass every ten seconds, or more often. */
const probeInterval = 1000
/** Of an object that does not exist, below the prefix: a credential may be limited to that. */
export function probeKeyBelow(prefix = ''): string {
  return prefix === '' ? '_berth-probe' : `${prefix}/_berth-probe`
}

type AttemptsOptions = {
  /** The bucket, in messages. */
  readonly name: string
  /** Scheme, host and port. */
  readonly origin: string
  readonly classify: (error: unknown) => RequestFailure
  /** Requests that change nothing, of an object that does not exist. */
  readonly probes: Readonly<Record<ObjectAccess, () => Promise<unknown>>>
  /** Before a bucket that denies requests is asked again. Never rejects. */
  readonly readKeysAgain?: () => Promise<void>
  readonly telemetry: Telemetry
}

const verbs = {
  read: 'read',
  find: 'read',
  write: 'write',
  list: undefined,
  delete: undefined,
  abort: undefined,
  inspect: undefined,
} as const satisfies Record<string, ObjectAccess | undefined>

/** What is attempted, such as `write docker/…`. */
export type Attempted = `${keyof typeof verbs} ${string}`

function accessOf(what: Attempted): ObjectAccess | undefined {
  const [verb] = what.split(' ', 1) as [keyof typeof verbs]
  return verbs[verb]
}

/**
 * Runs requests that may be repeated: with delays that grow, and not while the host cannot be
 * connected to. Then one request after another finds out when it is.
 */
export function createAttempts(options: AttemptsOptions) {
  const { name, origin, classify, probes, readKeysAgain, telemetry } = options
  const denials = createDenials({
    name,
    probe: async (access) => {
      await readKeysAgain?.()
      return run(`${access} objects`, probes[access])
    },
    telemetry,
  })
  const breaker = createBreaker({
    origin,
    onChange: (isOpen) => {
      telemetry.log.warn({ bucket: name, isOpen }, 'breaker of the object store has changed')
      if (isOpen) recovering = recover()
    },
  })

  const closing = new AbortController()

  /** Otherwise nobody would know that the store is back, as long as nobody reads. */
  const recover = async (): Promise<void> => {
    while (breaker.problem() !== undefined && !closing.signal.aborted) {
      await sleep(probeInterval, undefined, { ref: false, signal: closing.signal }).catch(() => {})
      await run('read objects', probes.read).catch(() => {})
    }
  }
  let recovering: Promise<void> | undefined

  /** Many kept-alive connections may expire together: only the next attempt says whether the store is there. */
  const attempt = async <Result>(
    what: Attempted,
    work: () => Promise<Result>,
    isFirst: boolean,
  ): Promise<Result> => {
    breaker.enter()
    try {
      const result = await work()
      breaker.succeeded()
      return result
    } catch (error) {
      const { isNetwork, isBroken, isUnsigned, why, advice } = classify(error)
      if (isUnsigned || (isBroken && isFirst)) breaker.abandoned()
      else if (isNetwork) breaker.failed([`${what}: ${why}`, advice].filter(Boolean).join('; '))
      else breaker.succeeded()
      throw error
    }
  }

  const runOften = async <Result>(
    what: Attempted,
    work: () => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result> => {
    for (let count = 1; ; count += 1) {
      try {
        return await attempt(what, work, count === 1)
      } catch (error) {
        signal?.throwIfAborted()
        if (isRegistryError(error))
          throw new ObjectStoreError('unreachable', {
            message: `cannot ${what} in ${name}: ${error.message}`,
            retryAfter: error.retryAfter ?? 1,
            cause: error,
          })
        const { failure, why, advice, canRetry, retryAfter, isSilent } = classify(error)
        if (!canRetry || count >= (isSilent ? maxSilentAttempts : maxAttempts))
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
  }

  const run = async <Result>(
    what: Attempted,
    work: () => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result> => {
    const access = accessOf(what)
    try {
      const result = await runOften(what, work, signal)
      if (access !== undefined) denials.succeeded(access)
      return result
    } catch (error) {
      if (access !== undefined) denials.failed(access, error)
      throw error
    }
  }

  return {
    run,
    problem: (access?: ObjectAccess) => breaker.problem() ?? denials.problem(access),
    /** Call it when no request can be sent any more. */
    close: async (): Promise<void> => {
      closing.abort()
      await Promise.all([recovering, denials.close()])
    },
  }
}
