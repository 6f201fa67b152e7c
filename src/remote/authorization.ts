import type { Credential, Credentials } from '../credentials/credentials.ts'
import type { CacheMemory } from '../memory/memory.ts'
import { isRegistryError } from '../oci/errors.ts'
import { redact } from '../telemetry/telemetry.ts'
import { basicOf, secretsOf } from './basic.ts'
import { parseChallenges } from './challenge.ts'
import type { Origins } from './origins.ts'
import { type Bearer, createTokenEndpoint, forbiddenRealm } from './token-endpoint.ts'
import type { Transport } from './transport.ts'

/** What one request has tried so far, and what that was made from, so that nothing is tried twice. */
export type Attempt = {
  sent?: string | undefined
  credential?: Credential
  scheme?: Scheme | undefined
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
 *    refusal. So does a 400 or 403 which says that what was sent has expired, as Amazon ECR's do.
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
  expired(attempt: Attempt, repository: string, reason: string): Promise<boolean>
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

  const tokens = caches.create<string>({
    ignoreFetchAbort: true,
    fetchMethod: async (repository, _stale, { options }) => {
      if (scheme?.kind !== 'bearer') return undefined
      const credential = await credentials.current()
      const { token, life } = await endpoint.request({ bearer: scheme, repository, credential })
      // A tenth early, so that it does not expire on its way.
      options.ttl = Math.max(life * 900, 1)
      return token
    },
  })

  const current = async (): Promise<Credential> => {
    const credential = await credentials.current()
    if (credential !== madeFrom) tokens.clear()
    madeFrom = credential
    return credential
  }

  /**
   * Changes the scheme if the challenge tells something new. A realm that may not see the credential
   * is not remembered.
   */
  const learn = (header: string): void => {
    const challenges = parseChallenges(header)
    const bearer = challenges.find((challenge) => challenge.scheme === 'bearer')
    const realm = URL.parse(bearer?.parameters['realm'] ?? '')
    if (realm !== null) {
      if (origins.realm(realm) === undefined) throw forbiddenRealm(origin, realm)
      const service = bearer?.parameters['service']
      const isKnown =
        scheme?.kind === 'bearer' && scheme.realm.href === realm.href && scheme.service === service
      if (!isKnown) scheme = { kind: 'bearer', realm, service }
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
      return await tokens.fetch(repository)
    } catch (error) {
      if (!isRegistryError(error, 'DENIED')) {
        scheme = undefined
        throw error
      }
      const renewed = await renew(credential)
      if (renewed === undefined || renewed === credential) throw error
      await current()
      return tokens.fetch(repository)
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
  const dropToken = ({ sent }: Attempt, repository: string): void => {
    if (sent === `Bearer ${tokens.peek(repository)}`) tokens.delete(repository)
  }

  return {
    header: async (attempt, repository) => {
      const credential = await current()
      attempt.credential = credential
      attempt.scheme = scheme
      attempt.sent = await headerFor(repository, credential, scheme)
      return attempt.sent
    },

    challenged: async (attempt, repository, challenge) => {
      const { sent, credential } = attempt
      const wasRight = sent !== undefined && (attempt.scheme !== undefined || directWorked)
      if (wasRight && !attempt.renewed) {
        attempt.renewed = true
        dropToken(attempt, repository)
        return credential === undefined || (await renew(credential, attempt.scheme)) !== undefined
      }
      if (attempt.learned || challenge === undefined) return false
      attempt.learned = true
      learn(challenge)
      // Others may have learned it while this one was on its way.
      return scheme !== attempt.scheme
    },

    expired: async (attempt, repository, reason) => {
      const { credential, renewed, scheme: used } = attempt
      if (renewed || credential === undefined || !expiry.test(reason)) return false
      attempt.renewed = true
      dropToken(attempt, repository)
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
