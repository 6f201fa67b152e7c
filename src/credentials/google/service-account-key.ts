import { sign } from 'node:crypto'
import { z } from 'zod'
import { CredentialError } from '../credential-error.ts'
import { expiryIn, lifeInSeconds, noToken, type Token, tokenText } from './access-token.ts'
import type { Configuration } from './configuration.ts'
import type { FederationOptions } from './federation.ts'

const googleUniverse = 'googleapis.com'
/** Of what the key signs, in seconds. */
const life = 3600

const answerSchema = z.looseObject({ access_token: tokenText, expires_in: lifeInSeconds })

type Key = Extract<Configuration, { type: 'service_account' }>

/**
 * An access token by a service account's key: the grant of RFC 7523, section 2.1, to the key's own
 * `token_uri`, for which the library always has Google's. In another universe than googleapis.com there
 * is no endpoint for keys: what the key has signed is itself the access token.
 */
export async function byKey(key: Key, { transport, scope }: FederationOptions): Promise<Token> {
  if ((key.universe_domain ?? googleUniverse) !== googleUniverse) return selfSigned(key, scope)
  const answer = await transport.request<unknown>({
    url: key.token_uri,
    method: 'POST',
    data: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
      assertion: signed(key, { aud: key.token_uri, scope }),
    }),
    responseType: 'json',
  })
  const { data } = answerSchema.safeParse(answer.data)
  if (data === undefined) throw noToken()
  return { token: data.access_token, expiry: expiryIn(data.expires_in) }
}

function selfSigned(key: Key, scope: string): Token {
  const token = signed(key, { sub: key.client_email, scope })
  return { token, expiry: Date.now() + life * 1000 }
}

function signed(key: Key, claims: Readonly<Record<string, string>>): string {
  const { client_email: iss, private_key, private_key_id: kid } = key
  const iat = Math.floor(Date.now() / 1000)
  const header = { alg: 'RS256', typ: 'JWT', ...(kid !== undefined && { kid }) }
  const text = [header, { iss, iat, exp: iat + life, ...claims }]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  try {
    return `${text}.${sign('RSA-SHA256', Buffer.from(text), private_key).toString('base64url')}`
  } catch {
    // The reason may show a part of the key.
    throw new CredentialError(`the key of ${iss} cannot sign`, {
      advice: `look whether private_key is whole: a key of ${iss} as gcloud iam service-accounts keys create wrote it`,
    })
  }
}
