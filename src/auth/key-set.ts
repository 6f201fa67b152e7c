import { setTimeout as sleep } from 'node:timers/promises'
import { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'
import { z } from 'zod'

/** The public keys of a cluster's issuer. */
export type IssuerKeys = {
  readonly issuer: string
  /** A JSON Web Key Set (RFC 7517), unparsed. */
  readonly keys: unknown
}

/** The keys by which an issuer signs tokens, kept current. */
export interface KeySet {
  /** Those of the last successful request; undefined: there was none. */
  current(): { readonly issuer: string; readonly find: JWTVerifyGetKey } | undefined
  /** Increases when the keys change. */
  version(): number
  /** Requests the keys, unless that was tried within the last seconds. */
  refresh(): Promise<void>
  /** Why the last request failed; undefined: it did not. */
  problem(): string | undefined
  close(): Promise<void>
}

type Log = {
  readonly info: (fields: object, message: string) => void
  readonly warn: (fields: object, message: string) => void
}

export type KeySetOptions = {
  /** Rejects if they cannot be had. */
  readonly fetchKeys: () => Promise<IssuerKeys>
  readonly log: Log
  /** Milliseconds between two requests that tokens with unknown keys cause. */
  readonly minInterval?: number
  /** Milliseconds until keys that the issuer has removed are unknown here. */
  readonly maxInterval?: number
}

const defaultMinInterval = 5000
const defaultMaxInterval = 300_000
const firstRetryDelay = 1000

/** jose accepts only public keys with algorithms for signatures from it; here its size is limited. */
const keySet = z.object({
  keys: z
    .array(z.looseObject({ kty: z.string() }))
    .min(1)
    .max(100),
})

/**
 * Requests the keys at the start and regularly. If that fails, the previous keys remain valid: while the API
 * server is down, pods can still log in.
 */
export function createKeySet(options: KeySetOptions): KeySet {
  const { fetchKeys, log } = options
  const { minInterval = defaultMinInterval, maxInterval = defaultMaxInterval } = options
  const stop = new AbortController()
  let current: ReturnType<KeySet['current']>
  let text = ''
  let version = 0
  let failure: string | undefined = 'not requested yet'
  let running: Promise<void> | undefined
  let requestedAt = Number.NEGATIVE_INFINITY

  const use = ({ issuer, keys }: IssuerKeys): void => {
    const parsed = keySet.parse(keys)
    const next = JSON.stringify({ issuer, keys: parsed })
    if (next === text) return
    current = { issuer, find: createLocalJWKSet(parsed as JSONWebKeySet) }
    text = next
    version += 1
    log.info({ issuer, keys: parsed.keys.length }, 'the keys of service account tokens are known')
  }

  const request = async (): Promise<void> => {
    try {
      use(await fetchKeys())
      failure = undefined
    } catch (err) {
      if (failure === undefined || current === undefined)
        log.warn({ err }, 'cannot get the keys of service account tokens')
      failure = err instanceof Error ? err.message : String(err)
    }
  }

  const load = (): Promise<void> => {
    requestedAt = performance.now()
    running ??= request().finally(() => {
      running = undefined
    })
    return running
  }

  const keepCurrent = async (): Promise<void> => {
    let retryDelay = firstRetryDelay
    while (!stop.signal.aborted) {
      await load()
      retryDelay = failure === undefined ? firstRetryDelay : Math.min(retryDelay * 2, maxInterval)
      const delay = failure === undefined ? maxInterval : retryDelay
      await sleep(delay, undefined, { signal: stop.signal }).catch(() => {})
    }
  }
  const kept = keepCurrent()

  return {
    current: () => current,
    version: () => version,
    refresh: async () => {
      if (running === undefined && performance.now() - requestedAt < minInterval) return
      await (running ?? load())
    },
    problem: () => failure,
    close: async () => {
      stop.abort()
      await kept
    },
  }
}
