import type { Credential, Credentials } from '../credentials/credentials.ts'
import type { CacheMemory } from '../memory/memory.ts'
import { isRegistryError } from '../oci/errors.ts'
import { redact } from '../telemetry/telemetry.ts'
import { basicOf, secretsOf } from './basic.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import type { Origins } from './origins.ts'
import { type Bearer, createTokenEndpoint, forbiddenRealm, sentTo } from './token-endpoint.ts'
import { challengedScope, scopeOf } from './token-scope.ts'
import type { Transport } from './transport.ts'

/** What one request has tried so far, and what that was made from, so that nothing is tried twice. */
export type Attempt = {
  sent?: string | undefined
  credential?: Credential
  scheme?: Scheme | undefined
  /** What the token that was sent is for. */
  scope?: string
  learned?: boolean
  renewed?: boolean
}

/**
 * The `Authorization` header towards one upstream. The only place that makes one.
 *
 * 1. An access token is sent as it is: Artifact Registry takes it, and its token endpoint counts
 *    against quota. A password waits for a challenge, since only that tells whether it goes to the
 *    registry or to a token endpoint.
 * 2. A 401 with a Bearer challenge sends the credential to the realm, if that may see it, for a
 *    token of this scope. Tokens are kept until shortly before they expire, and no longer than the
 *    credential they were made from.
 * 3. A 401 to what used to be right renews the credential, once, and asks once more. Then it is a
 *    refusal. The same for a 400 or 403 which says that what was sent has expired, as Amazon ECR's do.
 * 4. A 401 for `insufficient_scope` (RFC 6750, section 3.1) says nothing against the credential: only
 *    this token is dropped, and asked for again if the challenge names another scope.
 */
export interface Authorization {
  /** `repository` as the upstream names it; empty for the registry as a whole. */
  header(attempt: Attempt, repository: string): Promise<string | undefined>
  /** After a 401 to `attempt`: true when asking once more may help. */
  challenged(attempt: Attempt, repository: string, challenge: string | undefined): Promise<boolean>
  /**
   * After a 400 or 403 to `attempt`, with the upstream's own words: true when asking once more may
   * help.
   */
  expired(attempt: Attempt, reason: string): Promise<boolean>
  /** After any other answer: what was sent is right. */
  accepted(attempt: Attempt): void
  /** A text that the upstream wrote, without what we sent to it, or what looks like that. */
  scrub(text: string): string
}

type AuthorizationOptions = {
  readonly origin: string
  readonly credentials: Credentials
  readonly origins: Origins
  readonly transport: Transport
  readonly caches: CacheMemory
}

type Scheme = { readonly kind: 'basic' } | Bearer

/** Amazon ECR's words for a password, with status 403, and ECR Public's for a token, with 400. */
const expiry = /authorization token (has expired|is invalid)/i

export function createAuthorization({
  origin,
  credentials,
  origins,
  transport,
  caches,
}: AuthorizationOptions): Authorization {
  let scheme: Scheme | undefined
  let directWorked = false
  let madeFrom: Credential | undefined

  const scrub = (text: string): string => {
    const secrets = [...tokens.values(), ...(madeFrom === undefined ? [] : secretsOf(madeFrom))]
    return redact(secrets.reduce((rest, secret) => rest.replaceAll(secret, '[redacted]'), text))
  }

  const endpoint = createTokenEndpoint({ origin, credentials, origins, transport, scrub })

  /** Of repositories for which a challenge named another scope than ours. */
  const scopes = caches.create<string>()
  const scopeFor = (repository: string) => scopes.get(repository) ?? scopeOf(repository)

  /** By scope. The context is the repository. */
  const tokens = caches.create<string, string>({
    ignoreFetchAbort: true,
    fetchMethod: async (scope, _stale, { options, context: repository }) => {
      if (scheme?.kind !== 'bearer') return undefined
      const credential = await credentials.current()
      const asked = { bearer: scheme, repository, scope, credential }
      const { token, life } = await endpoint.request(asked)
      // A tenth early, so that it does not expire on its way.
      options.ttl = Math.max(life * 900, 1)
      return token
    },
  })
  const fetchToken = (repository: string) =>
    tokens.fetch(scopeFor(repository), { context: repository })

  const current = async (): Promise<Credential> => {
    const credential = await credentials.current()
    if (credential !== madeFrom) tokens.clear()
    madeFrom = credential
    return credential
  }

  /**
   * Changes scheme and scope if the challenge tells something new. A realm that may not see the
   * credential is not remembered.
   */
  const learn = (
    challenges: readonly Challenge[],
    { repository, credential }: { repository: string; credential: Credential | undefined },
  ): void => {
    const bearer = bearerIn(challenges)
    const realm = URL.parse(bearer?.parameters['realm'] ?? '')
    if (realm !== null) {
      const sent = credential === undefined ? 'credential' : sentTo(credential)
      if (origins.realm(realm, sent) === undefined) throw forbiddenRealm(origin, realm)
      const service = bearer?.parameters['service']
      const isKnown =
        scheme?.kind === 'bearer' && scheme.realm.href === realm.href && scheme.service === service
      if (!isKnown) scheme = { kind: 'bearer', realm, service }
      const scope = challengedScope(scopeFor(repository), bearer?.parameters['scope'])
      if (scope !== scopeFor(repository)) scopes.set(repository, scope)
    } else if (challenges.some((challenge) => challenge.scheme === 'basic')) {
      if (scheme?.kind !== 'basic') scheme = { kind: 'basic' }
    }
  }

  /** Undefined where the upstream denies us another one as well: its first words say of what. */
  const renew = async (refused: Credential, used?: Scheme): Promise<Credential | undefined> => {
    try {
      return await credentials.renew(refused)
    } catch (error) {
      if (isRegistryError(error, 'DENIED')) return undefined
      // It was a token that was refused: with its source away, the credential is good for another.
      if (used?.kind === 'bearer') return refused
      throw error
    }
  }

  /**
   * A credential that the token endpoint refuses is renewed once; an endpoint that fails may have
   * moved, so it is learned anew.
   */
  const tokenFor = async (
    repository: string,
    credential: Credential,
  ): Promise<string | undefined> => {
    try {
      return await fetchToken(repository)
    } catch (error) {
      if (!isRegistryError(error, 'DENIED')) {
        scheme = undefined
        throw error
      }
      const renewed = await renew(credential)
      if (renewed === undefined || renewed === credential) throw error
      await current()
      return fetchToken(repository)
    }
  }

  const headerFor = async (
    repository: string,
    credential: Credential,
    known: Scheme | undefined,
  ): Promise<string | undefined> => {
    if (known?.kind === 'bearer') {
      const token = await tokenFor(repository, credential)
      return token === undefined ? undefined : `Bearer ${token}`
    }
    if (known?.kind === 'basic') return basicOf(credential)
    return credential.kind === 'access-token' ? `Bearer ${credential.token}` : undefined
  }

  /** Whoever was refused before may have brought a new one. */
  const dropToken = ({ sent, scope = '' }: Attempt): void => {
    if (sent === `Bearer ${tokens.peek(scope)}`) tokens.delete(scope)
  }

  return {
    header: async (attempt, repository) => {
      const credential = await current()
      attempt.credential = credential
      attempt.scheme = scheme
      attempt.scope = scopeFor(repository)
      attempt.sent = await headerFor(repository, credential, scheme)
      return attempt.sent
    },

    challenged: async (attempt, repository, header = '') => {
      const { sent, credential } = attempt
      const challenges = parseChallenges(header)
      const lacksScope = bearerIn(challenges)?.parameters['error'] === 'insufficient_scope'
      const wasRight = sent !== undefined && (attempt.scheme !== undefined || directWorked)
      if (wasRight) dropToken(attempt)
      if (wasRight && !attempt.renewed && !lacksScope) {
        attempt.renewed = true
        return credential === undefined || (await renew(credential, attempt.scheme)) !== undefined
      }
      if (attempt.learned || challenges.length === 0) return false
      attempt.learned = true
      learn(challenges, { repository, credential })
      // Others may have learned it while this one was on its way.
      return scheme !== attempt.scheme || scopeFor(repository) !== attempt.scope
    },

    expired: async (attempt, reason) => {
      const { credential, renewed, scheme: used } = attempt
      if (renewed || credential === undefined || !expiry.test(reason)) return false
      attempt.renewed = true
      dropToken(attempt)
      const next = await renew(credential, used)
      // Another token can be made from the same credential.
      return next !== undefined && (next !== credential || used?.kind === 'bearer')
    },

    accepted: (attempt) => {
      if (scheme === undefined && attempt.sent !== undefined) directWorked = true
    },

    scrub,
  }
}

function bearerIn(challenges: readonly Challenge[]): Challenge | undefined {
  return challenges.find(({ scheme }) => scheme === 'bearer')
}
