import { hash, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { limitEntries } from '../memory/memory.ts'
import { isRegistryError } from '../oci/errors.ts'
import type { Rejection } from './access.ts'
import { createFairQueue } from './fair-queue.ts'
import type { ServiceAccount } from './service-account.ts'
import { readClaims } from './token-claims.ts'
import type { TokenVerifier } from './token-verifier.ts'

const maxCachedTokens = 10_000
const maxCachedRejections = 1000
/** Milliseconds: time to cache a rejection, and until a failed verification is repeated. */
const retryDelay = 10_000
/** Verifications that run at once: a signature takes 0.1 ms of a thread, a review some milliseconds. */
const maxRunning = 4
/** Verifications that wait: for each account with a valid token, and for all others together. */
const maxWaitingForAccount = 8
const maxWaitingForOthers = 64
/** In milliseconds; containerd waits 30 s for the headers of a response. */
const maxWait = 20_000
const maxKnownAccounts = 1000
/** The lane of accounts that have not been seen with a valid token. */
const otherAccounts = ''

/** Verifies service account tokens and caches the results by a keyed hash of the header, never the token. */
export interface Tokens {
  /** The account of a header whose token was verified before; undefined: it must be verified. */
  cachedAccount(authorization: string): ServiceAccount | undefined
  /** @throws RegistryError TOOMANYREQUESTS, UNAVAILABLE */
  verify(authorization: string, token: string): Promise<ServiceAccount | Rejection>
}

type Verified = {
  readonly kind: 'verified'
  readonly account: ServiceAccount
  readonly version: number
  /** In milliseconds since 1970. */
  readonly expires: number
  /** Of a clock that is never set: a review that is too old has to be repeated. */
  readonly validUntil: number
}

/** `key`: of the header. */
type Login = { readonly key: string; readonly token: string }

type Options = { readonly verifier: TokenVerifier; readonly now?: () => number }

/**
 * The danger: everybody can make tokens with any claims, whose verification costs a signature or a request.
 * So claims are checked first, few verifications run at once, and accounts that were seen with a valid token
 * have queues of their own, as users with passwords have: a flood of forged tokens delays them little.
 */
export function createTokens({ verifier, now = () => Date.now() }: Options): Tokens {
  const secret = randomBytes(32).toString('base64')
  const keyOf = (authorization: string) => hash('sha256', secret + authorization, 'base64')
  const queue = createFairQueue({
    maxRunning,
    maxWaiting: (lane) => (lane === otherAccounts ? maxWaitingForOthers : maxWaitingForAccount),
    maxWait,
    purpose: 'service account tokens',
  })
  const accepted = new LRUCache<string, Verified>(limitEntries(maxCachedTokens))
  const knownAccounts = new LRUCache<string, true>(limitEntries(maxKnownAccounts))

  const unexpired = (key: string): Verified | undefined => {
    const known = accepted.get(key)
    if (known !== undefined && known.version === verifier.version() && now() < known.expires)
      return known
    accepted.delete(key)
    return undefined
  }

  const accept = (key: string, known: Omit<Verified, 'kind' | 'validUntil'>, validFor: number) => {
    const verified = {
      kind: 'verified',
      ...known,
      validUntil: performance.now() + validFor,
    } as const
    accepted.set(key, verified)
    knownAccounts.set(known.account.name, true)
    return verified
  }

  const verifyNow = async (key: string, token: string): Promise<Verified | Rejection> => {
    const claims = readClaims(token, { audiences: verifier.audiences, now: now() })
    if (claims.kind === 'rejected') return claims
    const { account, expires } = claims
    const lane = knownAccounts.has(account.name) ? account.name : otherAccounts
    const version = verifier.version()
    try {
      const result = await queue.run(lane, () => verifier.verify(token, claims))
      if (result.kind !== 'rejected')
        return accept(
          key,
          { account: result, version: verifier.version(), expires },
          verifier.maxAge,
        )
      accepted.delete(key)
      return result
    } catch (error) {
      const known = unexpired(key)
      if (
        known === undefined ||
        known.version !== version ||
        !isRegistryError(error, 'UNAVAILABLE')
      )
        throw error
      return accept(key, known, retryDelay)
    }
  }

  /** A node starts pulls with many concurrent requests: all of them wait for one verification. */
  const running = new LRUCache<string, Verified | Rejection, Login>({
    ...limitEntries(maxCachedRejections),
    ttl: retryDelay,
    ignoreFetchAbort: true,
    fetchMethod: (_key, _stale, { context }) => verifyNow(context.key, context.token),
  })

  const cachedAccount = (key: string): ServiceAccount | undefined => {
    const known = unexpired(key)
    return known !== undefined && performance.now() < known.validUntil ? known.account : undefined
  }

  return {
    cachedAccount: (authorization) => cachedAccount(keyOf(authorization)),
    verify: async (authorization, token) => {
      const key = keyOf(authorization)
      const known = cachedAccount(key)
      if (known !== undefined) return known
      // With other keys of the issuer, a rejected token may be valid.
      const attempt = `${verifier.version()} ${key}`
      const result = await running.fetch(attempt, { context: { key, token } })
      if (result?.kind === 'rejected') return result
      // Valid ones are in the other cache, which knows until when.
      running.delete(attempt)
      return result?.account ?? { kind: 'rejected', reason: 'the service account token is invalid' }
    },
  }
}
