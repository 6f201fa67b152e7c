import { z } from 'zod'
import type { Credential, Credentials } from '../credentials/credentials.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import { basicOf } from './basic.ts'
import { adviceToList, UnconfirmedAnswer } from './faults.ts'
import type { Origins } from './origins.ts'
import { readBody } from './read-body.ts'
import { isPage } from './registry-answer.ts'
import { reasonIn } from './response-error.ts'
import { createThrottle, parseRetryAfter } from './throttle.ts'
import type { Target } from './token-scope.ts'
import type { Answer, Request, Transport } from './transport.ts'

/** The contents of a Bearer challenge. */
export type Bearer = {
  readonly kind: 'bearer'
  readonly realm: URL
  readonly service: string | undefined
}

type Asked = {
  readonly bearer: Bearer
  readonly target: Target
  /** The scope of the token; see scopeOf. */
  readonly scope: string
  readonly credential: Credential
}

/** An anonymous request sends no secret to a realm. */
export function accessMode(credential: Credential): 'credential' | 'anonymous' {
  return credential.kind === 'anonymous' ? 'anonymous' : 'credential'
}

/** Exchanges a credential for a token for one repository. `maxAge` in seconds. */
export interface TokenEndpoint {
  /** @throws RegistryError DENIED when the endpoint refuses the credential, else UNAVAILABLE. */
  request(requested: Asked): Promise<{ readonly token: string; readonly life: number }>
  /** Why it issues no tokens, if its last response was none. What it denies counts for one repository only. */
  problem(): string | undefined
}

type TokenEndpointOptions = {
  /** The upstream's. */
  readonly origin: string
  readonly credentials: Pick<Credentials, 'identity' | 'advice'>
  readonly origins: Origins
  readonly transport: Transport
  /** Removes our credentials from a text that the endpoint wrote. */
  readonly scrub: (text: string) => string
}

/**
 * An empty value or one of another type counts as missing: endpoints write null, or text. So does a
 * value that no header can hold: it would stay cached for its life and fail each request.
 */
const headerText = z
  .string()
  .regex(/^[\x21-\x7e]+$/)
  .optional()
  .catch(undefined)
const tokenSchema = z.looseObject({
  token: headerText,
  access_token: headerText,
  expires_in: z.coerce.number().positive().optional().catch(undefined),
})
/** Claims of a token that is a JWT. Both use the issuer's clock. */
const claimsSchema = z.looseObject({ exp: z.number(), iat: z.number() })

const maxTokenAnswer = 64 * 1024
/** A failure is forgotten after this, in milliseconds, if no client repeats the request. */
const maxAge = 60_000
/** Default life of a token, in seconds (distribution, "Token Authentication"). */
const defaultLifetime = 60

export function createTokenEndpoint({
  origin,
  credentials,
  origins,
  transport,
  scrub,
}: TokenEndpointOptions): TokenEndpoint {
  // Slots of its own: requests that have a token do not wait for it.
  const throttle = createThrottle(`not requesting tokens for ${origin}`)
  let failure: { readonly message: string; readonly at: number } | undefined

  const tokenError = (
    { status, header }: Answer,
    { realm, target, body }: { realm: string; target: Target; body: Buffer },
  ): RegistryError => {
    const reason = scrub(reasonIn(body))
    const message = `${realm} answered ${status} to a token request for ${origin} as ${credentials.identity()}${reason && `: ${reason}`}`
    if (status === 429) {
      const retryAfter = parseRetryAfter(header('retry-after'), header('date')) ?? 5
      throttle.throttled(retryAfter)
      return new RegistryError('TOOMANYREQUESTS', { message, retryAfter })
    }
    // A token service writes JSON or plain text; an HTML page comes from a proxy or a login in
    // front of it.
    if (status !== 429 && status < 500 && header('content-type')?.startsWith('text/html'))
      return new UnconfirmedAnswer(realm, status)
    if (status === 400 || status === 401 || status === 403)
      return new RegistryError('DENIED', {
        message,
        advice: credentials.advice(target.repository, target.access),
      })
    return new RegistryError('UNAVAILABLE', { message, retryAfter: 5 })
  }

  const request = async ({ bearer, target, scope, credential }: Asked) => {
    const trust = origins.realm(bearer.realm, accessMode(credential))
    if (trust === undefined) throw forbiddenRealm(origin, bearer.realm)
    const requested = tokenRequest({ bearer, scope, credential })
    const answer = await transport.send({ ...requested, trust, listedUnder: 'tokenRealms' })
    const body = await readBody(answer, maxTokenAnswer)
    const { origin: realm } = bearer.realm
    if (answer.status !== 429) throttle.answered()
    if (answer.status !== 200) throw tokenError(answer, { realm, target, body })
    return readToken(body, realm)
  }

  return {
    request: async (asked) => {
      throttle.check()
      throttle.enter()
      try {
        const issued = await request(asked)
        failure = undefined
        return issued
      } catch (error) {
        failure =
          isRegistryError(error) && error.code !== 'DENIED'
            ? { message: error.message, at: performance.now() }
            : undefined
        throw error
      }
    },
    problem: () =>
      failure !== undefined && performance.now() - failure.at < maxAge
        ? failure.message
        : undefined,
  }
}

/**
 * GET with the credential as Basic; an identity token has to be posted in the OAuth 2 form
 * (distribution, "Token Authentication" and "Token Authentication: OAuth2").
 */
function tokenRequest({
  bearer,
  scope,
  credential,
}: Omit<Asked, 'target'>): Pick<Request, 'method' | 'url' | 'headers' | 'body'> {
  const { service } = bearer
  const requested = new URLSearchParams({ ...(service !== undefined && { service }) })
  const url = new URL(bearer.realm)
  if (credential.kind === 'identity-token') {
    const grant = {
      grant_type: 'refresh_token',
      client_id: 'berth',
      refresh_token: credential.token,
    }
    for (const [name, value] of Object.entries(grant)) requested.set(name, value)
    if (scope !== '') requested.set('scope', scope)
    return {
      method: 'POST',
      url,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: requested.toString(),
    }
  }
  for (const entry of scope.split(' ').filter(Boolean)) requested.append('scope', entry)
  for (const [name, value] of requested) url.searchParams.append(name, value)
  const basic = basicOf(credential)
  return { method: 'GET', url, headers: basic === undefined ? {} : { authorization: basic } }
}

function readToken(body: Buffer, realm: string): { token: string; life: number } {
  const parsed = tokenSchema.safeParse(parseJson(body))
  const token = parsed.data?.token ?? parsed.data?.access_token
  if (token === undefined) {
    if (isPage(body)) throw new UnconfirmedAnswer(realm, 200)
    throw new RegistryError('UNAVAILABLE', {
      message: `${realm} answered without a token`,
      status: 502,
    })
  }
  return { token, life: parsed.data?.expires_in ?? lifeIn(token) ?? defaultLifetime }
}

/**
 * In seconds: Azure's registries write the expiry only in the token, and issue one per repository.
 */
function lifeIn(token: string): number | undefined {
  const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url')
  const claims = claimsSchema.safeParse(parseJson(payload))
  if (!claims.success) return undefined
  const life = claims.data.exp - claims.data.iat
  return life > 0 ? life : undefined
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}

/** A realm that may not receive our credential. */
export function forbiddenRealm(origin: string, realm: URL): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: `${origin} requests that its credential is sent to ${realm.origin}, which is in another domain`,
    advice: adviceToList(realm, 'tokenRealms'),
    status: 502,
  })
}
