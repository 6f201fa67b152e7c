import { isDeepStrictEqual } from 'node:util'
import { RegistryError } from '../oci/errors.ts'
import { withDeadline } from '../outbound/outbound.ts'
import { redact, type Telemetry } from '../telemetry/telemetry.ts'
import type { Credential, CredentialSource, Credentials, Fetched } from './credential.ts'
import { CredentialError } from './credential-error.ts'

/** An exchange that takes longer has failed, in milliseconds. */
const exchangeDeadline = 10_000
/**
 * The part of its life after which a credential is exchanged in the background, at the latest, and how
 * far replicas spread.
 */
const refreshAt = 0.8
const jitter = 0.1
/** Between background attempts after a failure, doubling, in milliseconds. */
const firstRetry = 1000
const longestRetry = 30_000
/**
 * No two exchanges on behalf of requests start closer than this, in milliseconds: a dead source is
 * not hammered.
 */
const quiet = 1000

/**
 * For a credential that was born expired, in milliseconds: a clock is wrong, and the upstream is
 * the better judge.
 */
const unlikelyLifetime = 60_000

const longestTimer = 2 ** 31 - 1

type Context = { readonly upstream: string; readonly telemetry: Telemetry }

/**
 * 1. The first request, or a start in the background, exchanges; everybody waits for the same
 *    exchange.
 * 2. At about three quarters of its life the credential is exchanged again in the background. Until that
 *    works the last good one serves, to its real expiry. Expiry is counted on the monotonic clock,
 *    which does not jump.
 * 3. A refused credential is exchanged once, by whoever was refused first; the others get the
 *    result.
 */
export function keepFresh(source: CredentialSource, { upstream, telemetry }: Context): Credentials {
  const { log, metrics } = telemetry
  let held: { credential: Credential; validUntil: number } | undefined
  let running: Promise<Credential> | undefined
  /** Of the last exchange. */
  let failure: RegistryError | undefined
  let lastExchange = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | undefined
  let retryDelay = firstRetry
  for (const outcome of ['success', 'failure']) metrics.tokenRefreshes.inc({ upstream, outcome }, 0)
  let closed = false

  const valid = () =>
    held !== undefined && held.validUntil > performance.now() ? held.credential : undefined

  const wasJustAsked = () => performance.now() - lastExchange < quiet

  const exchange = (): Promise<Credential> => {
    clearTimeout(timer)
    running ??= withDeadline(source.fetch(), exchangeDeadline)
      .then(keep, fail)
      .finally(() => {
        running = undefined
      })
    return running
  }

  const keep = (fetched: Fetched): Credential => {
    const { lifetime: told = Number.POSITIVE_INFINITY, refreshAfter } = fetched
    const credential = sameOr(held?.credential, fetched.credential)
    const lifetime = told > 0 ? told : unlikelyLifetime
    held = { credential, validUntil: performance.now() + lifetime }
    failure = undefined
    lastExchange = performance.now()
    retryDelay = firstRetry
    metrics.tokenRefreshes.inc({ upstream, outcome: 'success' })
    if (Number.isFinite(lifetime))
      metrics.tokenExpiry.set({ upstream }, (Date.now() + lifetime) / 1000)
    const next = Math.min(lifetime * refreshAt, refreshAfter ?? Number.POSITIVE_INFINITY)
    if (Number.isFinite(next)) schedule(next * (1 - jitter * Math.random()))
    return credential
  }

  const fail = (cause: unknown): never => {
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
    retryDelay = Math.min(retryDelay * 2, longestRetry)
    throw error
  }

  const schedule = (delay: number): void => {
    clearTimeout(timer)
    if (closed) return
    timer = setTimeout(
      () => void exchange().catch(() => {}),
      Math.min(Math.max(delay, 0), longestTimer),
    )
    timer.unref()
  }

  schedule(0)
  return {
    identity: source.identity,
    source: source.source,
    advice: (repository) => source.advice?.(repository),
    validFor: () => {
      const left = (held?.validUntil ?? Number.POSITIVE_INFINITY) - performance.now()
      return Number.isFinite(left) ? Math.max(left, 0) : undefined
    },
    current: async () => {
      const credential = valid()
      if (credential !== undefined) return credential
      if (failure !== undefined && wasJustAsked()) throw failure
      return exchange()
    },
    renew: async (refused) => {
      const credential = valid()
      if (credential !== undefined && credential !== refused) return credential
      // To give the refused one again would let a dead source pass for the upstream's refusal.
      if (failure !== undefined && wasJustAsked()) throw failure
      return credential !== undefined && wasJustAsked() ? credential : exchange()
    },
    problem: () => failure?.message,
    close: () => {
      closed = true
      clearTimeout(timer)
    },
  }
}

/** The same one again is no other: what was made from it goes on being right. */
function sameOr(known: Credential | undefined, fetched: Credential): Credential {
  return known !== undefined && isDeepStrictEqual(known, fetched) ? known : fetched
}
