import type { Credential, Credentials } from '../credentials/credentials.ts'
import type { CacheMemory } from '../memory/memory.ts'
import { isRegistryError } from '../oci/errors.ts'
import { redact } from '../telemetry/telemetry.ts'
import { basicOf, secretsOf } from './basic.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import type { Origins } from './origins.ts'
import { accessMode, type Bearer, createTokenEndpoint, forbiddenRealm } from './token-endpoint.ts'
import { challengedScope, scopeOf, type Target } from './token-scope.ts'
import type { Transport } from './transport.ts'

/**
 * The state of one request: credentials already tried and their source, so that no attempt is
 * repeated.
 */
export type Attempt = {
  sent?: string | undefined
  credential?: Credential
  scheme?: Scheme | undefined
  /** The scope of the token that was sent. */
  scope?: string
  hasRemembered?: boolean
  renewed?: boolean
}

/**
 * Makes the `Authorization` header for one upstream. No other code makes one.
 * 1. An access token is sent directly: Artifact Registry accepts it, and its token endpoint counts
 *    against quota. A password waits for a challenge, because only the challenge shows whether the
 *    password goes to the registry or to a token endpoint.
 * 2. After a 401 with a Bearer challenge, the credential is sent to the realm, if the realm may
 *    receive it, to get a token of this scope. Tokens are cached until shortly before they expire, until they
 *    expire while the realm is down, and no longer than the credential that they were made from.
 * 3. A 401 to a credential that worked before renews the credential once and retries once. A second
 *    401 is a refusal. The same applies to a 400 or 403 which says that the credential has expired,
 *    as Amazon ECR's do.
 * 4. A 401 for `insufficient_scope` (RFC 6750, section 3.1) does not invalidate the credential:
 *    only this token is dropped, and a new one is requested if the challenge names another scope.
 * 5. A registry token is sent directly, whatever the challenge says: it is never sent to a realm. A 401 to it
 *    renews it, as in step 3.
 */
export interface Authorization {
  header(attempt: Attempt, target: Target): Promise<string | undefined>
  /** Handles a 401 to `attempt`. True when a retry may succeed. */
  challenged(attempt: Attempt, target: Target, challenge: string | undefined): Promise<boolean>
  /**
   * Handles a 400 or 403 to `attempt`, with the upstream's message. True when a retry may succeed.
   */
  expired(attempt: Attempt, reason: string): Promise<boolean>
  /** Handles any other answer: the credential that was sent is valid. */
  accepted(attempt: Attempt): void
  /**
   * Removes our credentials, and anything that looks like one, from a text that the upstream wrote.
   */
  scrub(text: string): string
  /** Why the token endpoint issues no tokens. */
  problem(): string | undefined
}

type AuthorizationOptions = {
  readonly origin: string
  readonly credentials: Credentials
  readonly origins: Origins
  readonly transport: Transport
  readonly caches: CacheMemory
}

type Scheme = { readonly kind: 'basic' } | Bearer

type Token = {
  readonly text: string
  /** On the monotonic clock, in milliseconds. */
  readonly validUntil: number
}

/** How long a token that could not be replaced is used before the next attempt, in milliseconds. */
const retryDelay = 10_000

/**
 * Amazon ECR's message for an expired password, with status 403, and ECR Public's for a token, with
 * 400.
 */
const expiredMessage = /authorization token (has expired|is invalid)/i

export function createAuthorization({
  origin,
  credentials,
  origins,
  transport,
  caches,
}: AuthorizationOptions): Authorization {
  let scheme: Scheme | undefined
  let isDirectAccepted = false
  let tokenSource: Credential | undefined

  const scrub = (text: string): string => {
    const secrets = [
      ...[...tokens.values()].map(({ text }) => text),
      ...(tokenSource === undefined ? [] : secretsOf(tokenSource)),
    ]
    return redact(secrets.reduce((rest, secret) => rest.replaceAll(secret, '[redacted]'), text))
  }

  const endpoint = createTokenEndpoint({ origin, credentials, origins, transport, scrub })

  /** Where a challenge named another scope than ours: its scope, by ours. */
  const scopes = caches.create<string>()
  const scopeFor = (target: Target) => {
    const own = scopeOf(target)
    return scopes.get(own) ?? own
  }

  /** By scope, which contains the actions. */
  const tokens = caches.create<Token, Target>({
    ignoreFetchAbort: true,
    fetchMethod: async (scope, last, { options, context: target }) => {
      if (scheme?.kind !== 'bearer') return undefined
      try {
        const credential = await credentials.current()
        const requested = { bearer: scheme, target, scope, credential }
        const { token, life } = await endpoint.request(requested)
        // Replaced after nine tenths of its life, so that it does not expire in flight.
        options.ttl = Math.max(life * 900, 1)
        return { text: token, validUntil: performance.now() + life * 1000 }
      } catch (error) {
        const left = (last?.validUntil ?? 0) - performance.now()
        if (left <= 0 || isRegistryError(error, 'DENIED')) throw error
        options.ttl = Math.min(left, retryDelay)
        return last
      }
    },
  })
  const fetchToken = async (target: Target): Promise<string | undefined> =>
    (await tokens.fetch(scopeFor(target), { context: target }))?.text

  const current = async (): Promise<Credential> => {
    const credential = await credentials.current()
    if (credential !== tokenSource) tokens.clear()
    tokenSource = credential
    return credential
  }

  /**
   * Updates scheme and scope if the challenge differs from the cached one. A realm that may not
   * receive the credential is not cached.
   */
  const rememberChallenge = (
    challenges: readonly Challenge[],
    { target, credential }: { target: Target; credential: Credential | undefined },
  ): void => {
    const bearer = bearerIn(challenges)
    const realm = URL.parse(bearer?.parameters['realm'] ?? '')
    if (realm !== null) {
      const sent = credential === undefined ? 'credential' : accessMode(credential)
      if (origins.realm(realm, sent) === undefined) throw forbiddenRealm(origin, realm)
      const service = bearer?.parameters['service']
      const isKnown =
        scheme?.kind === 'bearer' && scheme.realm.href === realm.href && scheme.service === service
      if (!isKnown) scheme = { kind: 'bearer', realm, service }
      const scope = challengedScope(scopeFor(target), bearer?.parameters['scope'])
      if (scope !== scopeFor(target)) scopes.set(scopeOf(target), scope)
    } else if (challenges.some((challenge) => challenge.scheme === 'basic')) {
      if (scheme?.kind !== 'basic') scheme = { kind: 'basic' }
    }
  }

  /**
   * Undefined if the upstream also denies the renewed credential: its first message names the
   * reason.
   */
  const renew = async (denied: Credential, used?: Scheme): Promise<Credential | undefined> => {
    try {
      return await credentials.renew(denied)
    } catch (error) {
      if (isRegistryError(error, 'DENIED')) return undefined
      // The upstream refused a token: while the credential source is unavailable, the cached
      // credential can make another token.
      if (used?.kind === 'bearer') return denied
      throw error
    }
  }

  /**
   * If the token endpoint refuses a credential, the credential is renewed once. If the endpoint
   * fails, it may have moved, so it is discovered again from the next challenge.
   */
  const tokenFor = async (target: Target, credential: Credential): Promise<string | undefined> => {
    try {
      return await fetchToken(target)
    } catch (error) {
      if (!isRegistryError(error, 'DENIED')) {
        scheme = undefined
        throw error
      }
      const renewed = await renew(credential)
      if (renewed === undefined || renewed === credential) throw error
      await current()
      return fetchToken(target)
    }
  }

  const headerFor = async (
    target: Target,
    credential: Credential,
    known: Scheme | undefined,
  ): Promise<string | undefined> => {
    if (credential.kind === 'registry-token') return `Bearer ${credential.token}`
    if (known?.kind === 'bearer') {
      const token = await tokenFor(target, credential)
      return token === undefined ? undefined : `Bearer ${token}`
    }
    if (known?.kind === 'basic') return basicOf(credential)
    return credential.kind === 'access-token' ? `Bearer ${credential.token}` : undefined
  }

  /** The credential source may have a new credential since the last refusal. */
  const dropToken = ({ sent, scope = '' }: Attempt): void => {
    if (sent === `Bearer ${tokens.peek(scope)?.text}`) tokens.delete(scope)
  }

  /** The file of a registry token may have another one since. */
  const renewedOnce = async (attempt: Attempt, credential: Credential): Promise<boolean> => {
    if (attempt.renewed) return false
    attempt.renewed = true
    const next = await renew(credential)
    return next !== undefined && next !== credential
  }

  return {
    header: async (attempt, target) => {
      const credential = await current()
      attempt.credential = credential
      attempt.scheme = scheme
      attempt.scope = scopeFor(target)
      attempt.sent = await headerFor(target, credential, scheme)
      return attempt.sent
    },

    challenged: async (attempt, target, header = '') => {
      const { sent, credential } = attempt
      if (credential?.kind === 'registry-token') return renewedOnce(attempt, credential)
      const challenges = parseChallenges(header)
      const lacksScope = bearerIn(challenges)?.parameters['error'] === 'insufficient_scope'
      const wasAccepted = sent !== undefined && (attempt.scheme !== undefined || isDirectAccepted)
      if (wasAccepted) dropToken(attempt)
      if (wasAccepted && !attempt.renewed && !lacksScope) {
        attempt.renewed = true
        return credential === undefined || (await renew(credential, attempt.scheme)) !== undefined
      }
      if (attempt.hasRemembered || challenges.length === 0) return false
      attempt.hasRemembered = true
      rememberChallenge(challenges, { target, credential })
      // Other requests may have discovered it while this one was in flight.
      return scheme !== attempt.scheme || scopeFor(target) !== attempt.scope
    },

    expired: async (attempt, reason) => {
      const { credential, renewed, scheme: used } = attempt
      if (renewed || credential === undefined || !expiredMessage.test(reason)) return false
      attempt.renewed = true
      dropToken(attempt)
      const next = await renew(credential, used)
      // The same credential can make another token.
      return next !== undefined && (next !== credential || used?.kind === 'bearer')
    },

    accepted: (attempt) => {
      if (scheme === undefined && attempt.sent !== undefined) isDirectAccepted = true
    },

    scrub,
    problem: endpoint.problem,
  }
}

function bearerIn(challenges: readonly Challenge[]): Challenge | undefined {
  return challenges.find(({ scheme }) => scheme === 'bearer')
}
