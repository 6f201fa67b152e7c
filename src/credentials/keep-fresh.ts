import { isDeepStrictEqual } from 'node:util'
import { RegistryError } from '../oci/errors.ts'
import { withDeadline } from '../outbound/outbound.ts'
import { redact, type Telemetry } from '../telemetry/telemetry.ts'
import type { Credential, CredentialSource, Credentials, Fetched } from './credential.ts'
import { CredentialError } from './credential-error.ts'

/** Of one exchange, in milliseconds. */
const exchangeTimeout = 10_000
/**
 * A credential is renewed in the background after this part of its lifetime at the latest, earlier by a
 * random part, so that replicas do not renew at the same time.
 */
const refreshAt = 0.8
const jitter = 0.1
/** Between background retries after a failure; doubles each time. In milliseconds. */
const minRetryDelay = 1000
const maxRetryDelay = 30_000
/** Between exchanges for requests, in milliseconds, so that requests do not overload a failing source. */
const minExchangeInterval = 1000

/**
 * The lifetime of a credential that is expired when it is issued, in milliseconds: a clock is wrong, and
 * the upstream decides whether the credential is valid.
 */
const fallbackLifetime = 60_000

/** setTimeout treats a longer delay as 1 ms. */
const maxTimerDelay = 2 ** 31 - 1

type Context = { readonly upstream: string; readonly telemetry: Telemetry }

/**
 * 1. The first request, or the start in the background, runs an exchange; concurrent requests share it.
 * 2. After about three quarters of the lifetime, an exchange in the background renews the credential.
 *    Until it succeeds, the last good credential is used up to its real expiry, which is measured on the
 *    monotonic clock.
 * 3. When the upstream rejects a credential, the first request that was rejected runs an exchange; the
 *    others share the result.
 *
 * One long function, because all its steps change the same state.
 */
export function keepFresh(source: CredentialSource, { upstream, telemetry }: Context): Credentials {
  const { log, metrics } = telemetry
  let current: { credential: Credential; validUntil: number } | undefined
  let running: Promise<Credential> | undefined
  /** The error of the last exchange. */
  let failure: RegistryError | undefined
  let lastExchange = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | undefined
  let retryDelay = minRetryDelay
  for (const outcome of ['success', 'failure']) metrics.tokenRefreshes.inc({ upstream, outcome }, 0)
  let closed = false

  const valid = () =>
    current !== undefined && current.validUntil > performance.now() ? current.credential : undefined

  const isThrottled = () => performance.now() - lastExchange < minExchangeInterval

  const exchange = (): Promise<Credential> => {
    clearTimeout(timer)
    running ??= withDeadline(source.fetch(), exchangeTimeout)
      .then(onSuccess, onFailure)
      .finally(() => {
        running = undefined
      })
    return running
  }

  const onSuccess = (fetched: Fetched): Credential => {
    const { lifetime: stated = Number.POSITIVE_INFINITY, refreshAfter } = fetched
    const credential = reuseIfEqual(current?.credential, fetched.credential)
    const lifetime = stated > 0 ? stated : fallbackLifetime
    current = { credential, validUntil: performance.now() + lifetime }
    failure = undefined
    lastExchange = performance.now()
    retryDelay = minRetryDelay
    metrics.tokenRefreshes.inc({ upstream, outcome: 'success' })
    if (Number.isFinite(lifetime))
      metrics.tokenExpiry.set({ upstream }, (Date.now() + lifetime) / 1000)
    const next = Math.min(lifetime * refreshAt, refreshAfter ?? Number.POSITIVE_INFINITY)
    if (Number.isFinite(next)) schedule(next * (1 - jitter * Math.random()))
    return credential
  }

  const onFailure = (cause: unknown): never => {
    const denied = cause instanceof CredentialError && cause.denied
    const advice =
      cause instanceof CredentialError ? cause.advice && redact(cause.advice) : undefined
    const error = new RegistryError(denied ? 'DENIED' : 'UNAVAILABLE', {
      message: `no credential for ${upstream} as ${source.identity()}: ${redact(cause instanceof Error ? cause.message : String(cause))}`,
      advice,
      ...(!denied && { retryAfter: 5 }),
      cause,
    })
    failure = error
    lastExchange = performance.now()
    metrics.tokenRefreshes.inc({ upstream, outcome: 'failure' })
    log.warn(
      {
        upstream,
        identity: source.identity(),
        err: cause,
        advice,
        stillValid: valid() !== undefined,
      },
      'credential exchange failed',
    )
    schedule(retryDelay)
    retryDelay = Math.min(retryDelay * 2, maxRetryDelay)
    throw error
  }

  const schedule = (delay: number): void => {
    clearTimeout(timer)
    if (closed) return
    timer = setTimeout(
      () => void exchange().catch(() => {}),
      Math.min(Math.max(delay, 0), maxTimerDelay),
    )
    timer.unref()
  }

  schedule(0)
  return {
    identity: source.identity,
    source: source.source,
    advice: (repository, access) => source.advice?.(repository, access),
    validFor: () => {
      const remaining = (current?.validUntil ?? Number.POSITIVE_INFINITY) - performance.now()
      return Number.isFinite(remaining) ? Math.max(remaining, 0) : undefined
    },
    current: async () => {
      const credential = valid()
      if (credential !== undefined) return credential
      if (failure !== undefined && isThrottled()) throw failure
      return exchange()
    },
    renew: async (rejected) => {
      const credential = valid()
      if (credential !== undefined && credential !== rejected) return credential
      // Returning the rejected one would report the upstream's 401 instead of the source's failure.
      if (failure !== undefined && isThrottled()) throw failure
      return credential !== undefined && isThrottled() ? credential : exchange()
    },
    problem: () => failure?.message,
    close: () => {
      closed = true
      clearTimeout(timer)
    },
  }
}

/** Keeps the identity of an equal credential, so that tokens made from it stay valid. */
function reuseIfEqual(known: Credential | undefined, fetched: Credential): Credential {
  return known !== undefined && isDeepStrictEqual(known, fetched) ? known : fetched
}
