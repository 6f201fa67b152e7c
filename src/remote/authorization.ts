import { LRUCache } from 'lru-cache'
import { z } from 'zod'
import type { Credential, Credentials } from '../credentials/credentials.ts'
import { bounded } from '../oci/bounded.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import { parseRetryAfter } from './breaker.ts'
import { parseChallenges } from './challenge.ts'
import type { Origins } from './origins.ts'
import { readBody } from './read-body.ts'
import { reasonIn } from './reason.ts'
import type { Answer, Request, Transport } from './transport.ts'

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
  /** A text that the upstream wrote, without what we sent to it. */
  scrub(text: string): string
}

type AuthorizationOptions = {
  readonly origin: string
  readonly credentials: Credentials
  readonly origins: Origins
  readonly transport: Transport
}

type Scheme =
  | { readonly kind: 'basic' }
  | { readonly kind: 'bearer'; readonly realm: URL; readonly service: string | undefined }

/** What is empty or of another type is as good as missing: endpoints write null, or text. */
const filled = z.string().min(1).optional().catch(undefined)
const tokenSchema = z.looseObject({
  token: filled,
  access_token: filled,
  expires_in: z.coerce.number().positive().optional().catch(undefined),
})

/** Amazon ECR's words for a password, with status 403, and ECR Public's for a token, with 400. */
const expiry = /authorization token (has expired|is invalid)/i

const longestTokenAnswer = 64 * 1024
/**
 * What a token lives whose answer does not say, in seconds (distribution, "Token Authentication").
 */
const usualLife = 60
/** Repositories whose tokens are kept. */
const mostTokens = 2000

export function createAuthorization({
  origin,
  credentials,
  origins,
  transport,
}: AuthorizationOptions): Authorization {
  let scheme: Scheme | undefined
  let directWorked = false
  let madeFrom: Credential | undefined

  const tokens = new LRUCache<string, string>({
    ...bounded(mostTokens),
    ignoreFetchAbort: true,
    fetchMethod: async (repository, _stale, { options }) => {
      if (scheme?.kind !== 'bearer') return undefined
      const { token, life } = await requestToken(scheme, repository, await credentials.current())
      // A tenth early, so that it does not expire on its way.
      options.ttl = Math.max(life * 900, 1)
      return token
    },
  })

  const requestToken = async (
    bearer: Scheme & { kind: 'bearer' },
    repository: string,
    credential: Credential,
  ) => {
    const trust = origins.realm(bearer.realm)
    if (trust === undefined) throw forbiddenRealm(origin, bearer.realm)
    const asked = tokenRequest({ bearer, repository, credential })
    const answer = await transport.send({ ...asked, trust })
    const body = await readBody(answer, longestTokenAnswer)
    const { origin: realm } = bearer.realm
    if (answer.status !== 200) throw tokenRefused(answer, { realm, repository, body })
    return readToken(body, realm)
  }

  const tokenRefused = (
    { status, header }: Answer,
    { realm, repository, body }: { realm: string; repository: string; body: Buffer },
  ): RegistryError => {
    const reason = scrub(reasonIn(body))
    const message = `${realm} answered ${status} when asked for a token for ${origin} as ${credentials.identity()}${reason && `: ${reason}`}`
    if (status === 429)
      return new RegistryError('TOOMANYREQUESTS', {
        message,
        retryAfter: parseRetryAfter(header('retry-after')) ?? 5,
      })
    if (status === 400 || status === 401 || status === 403)
      return new RegistryError('DENIED', { message, advice: credentials.remedy(repository) })
    return new RegistryError('UNAVAILABLE', { message, retryAfter: 5 })
  }

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
      const renewed = await credentials.renew(credential)
      if (renewed === credential) throw error
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

  const scrub = (text: string): string => {
    const secrets = [...tokens.values(), ...(madeFrom === undefined ? [] : secretsOf(madeFrom))]
    return secrets.reduce((rest, secret) => rest.replaceAll(secret, '[redacted]'), text)
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
        if (credential !== undefined) await credentials.renew(credential)
        return true
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
      const isSame = (await credentials.renew(credential)) === credential
      // Another token can be made from the same credential.
      return !isSame || used?.kind === 'bearer'
    },

    accepted: (attempt) => {
      if (scheme === undefined && attempt.sent !== undefined) directWorked = true
    },

    scrub,
  }
}

/**
 * GET with the credential as Basic; of an identity token, which has to be posted, the OAuth 2 form
 * (distribution, "Token Authentication" and "Token Authentication: OAuth2").
 */
function tokenRequest({
  bearer,
  repository,
  credential,
}: {
  readonly bearer: Scheme & { kind: 'bearer' }
  readonly repository: string
  readonly credential: Credential
}): Pick<Request, 'method' | 'url' | 'headers' | 'body'> {
  const { service } = bearer
  const scope = repository === '' ? undefined : `repository:${repository}:pull`
  const asked = { ...(service !== undefined && { service }), ...(scope !== undefined && { scope }) }
  const url = new URL(bearer.realm)
  if (credential.kind === 'identity-token') {
    const grant = { grant_type: 'refresh_token', client_id: 'berth', ...asked }
    const body = new URLSearchParams({ ...grant, refresh_token: credential.token }).toString()
    return {
      method: 'POST',
      url,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body,
    }
  }
  for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value)
  const basic = basicOf(credential)
  return { method: 'GET', url, headers: basic === undefined ? {} : { authorization: basic } }
}

function basicOf(credential: Credential): string | undefined {
  if (credential.kind === 'anonymous') return undefined
  if (credential.kind === 'identity-token' && credential.username === '') return undefined
  const secret = credential.kind === 'password' ? credential.password : credential.token
  return `Basic ${Buffer.from(`${credential.username}:${secret}`).toString('base64')}`
}

function secretsOf(credential: Credential): readonly string[] {
  if (credential.kind === 'anonymous') return []
  const secret = credential.kind === 'password' ? credential.password : credential.token
  return [secret, basicOf(credential)?.slice('Basic '.length) ?? ''].filter(Boolean)
}

function readToken(body: Buffer, realm: string): { token: string; life: number } {
  const parsed = tokenSchema.safeParse(parseJson(body))
  const token = parsed.data?.token ?? parsed.data?.access_token
  if (token === undefined) {
    throw new RegistryError('UNAVAILABLE', {
      message: `${realm} answered without a token`,
      status: 502,
    })
  }
  return { token, life: parsed.data?.expires_in ?? usualLife }
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}

function forbiddenRealm(origin: string, realm: URL): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: `${origin} wants its credential sent to ${realm.origin}, which is neither its own nor of its domain; list it under the upstream's tokenRealms if that is right`,
    status: 502,
  })
}
