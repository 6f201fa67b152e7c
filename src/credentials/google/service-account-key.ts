import { sign } from 'node:crypto'
import { z } from 'zod'
import { CredentialError } from '../credential-error.ts'
import {
  expiryIn,
  lifetimeInSeconds,
  noAccessToken,
  type Token,
  tokenText,
} from './access-token.ts'
import type { Configuration } from './configuration.ts'
import type { FederationOptions } from './federation.ts'

const googleUniverse = 'googleapis.com'
/** Of a signed JWT, in seconds. */
const lifetime = 3600

const answerSchema = z.looseObject({ access_token: tokenText, expires_in: lifetimeInSeconds })

type Key = Extract<Configuration, { type: 'service_account' }>

/**
 * An access token for a service account key: the grant of RFC 7523, section 2.1, at the key's own
 * `token_uri`, which the library ignores. Universes other than googleapis.com have no token endpoint
 * for keys: there the signed JWT itself is the access token.
 */
export async function exchangeKey(
  key: Key,
  { transport, scope }: FederationOptions,
): Promise<Token> {
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
  if (data === undefined) throw noAccessToken()
  return { token: data.access_token, expiry: expiryIn(data.expires_in) }
}

function selfSigned(key: Key, scope: string): Token {
  const token = signed(key, { sub: key.client_email, scope })
  return { token, expiry: Date.now() + lifetime * 1000 }
}

function signed(key: Key, claims: Readonly<Record<string, string>>): string {
  const { client_email: iss, private_key_id: kid } = key
  const iat = Math.floor(Date.now() / 1000)
  const header = { alg: 'RS256', typ: 'JWT', ...(kid !== undefined && { kid }) }
  const text = [header, { iss, iat, exp: iat + lifetime, ...claims }]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  return `${text}.${signWithKey(key, text).toString('base64url')}`
}

/** RSA with SHA-256. @throws CredentialError */
export function signWithKey({ client_email, private_key }: Key, text: string): Buffer {
  try {
    return sign('RSA-SHA256', Buffer.from(text), private_key)
  } catch {
    // The reason may contain a part of the key.
    throw new CredentialError(
      `cannot sign with the key of ${client_email}: the private key is invalid`,
      {
        advice: `check that private_key is complete; to create a new key, run: gcloud iam service-accounts keys create FILE --iam-account=${client_email}`,
      },
    )
  }
}
