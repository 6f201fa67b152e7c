import { z } from 'zod'
import {
  expiryIn,
  lifetimeInSeconds,
  noAccessToken,
  type Token,
  tokenOf,
  tokenText,
} from './access-token.ts'
import type { Configuration } from './configuration.ts'
import { type FederationOptions, federate } from './federation.ts'
import { exchangeKey } from './service-account-key.ts'

/** The scope of the token that is used to impersonate an account. */
const impersonationScope = 'https://www.googleapis.com/auth/cloud-platform'
const googleUniverse = 'googleapis.com'

const lifetimeSchema = z.looseObject({ expires_in: lifetimeInSeconds })
const impersonatedSchema = z.looseObject({ accessToken: tokenText, expireTime: z.string() })

/**
 * One exchange for an access token, with the library's client for this type of configuration. Each
 * exchange creates a new client: a client caches its token and returns it again, and when an exchange
 * fails within five minutes of the token's expiry it throws although the token is valid.
 */
export function exchange(configuration: Configuration, options: FederationOptions): Promise<Token> {
  switch (configuration.type) {
    case 'external_account':
      return federate(configuration, options)
    case 'service_account':
      return exchangeKey(configuration, options)
    case 'authorized_user':
      return exchangeUserLogin(configuration, options)
    case 'external_account_authorized_user':
      return exchangeWorkforceLogin(configuration, options)
    case 'impersonated_service_account':
      return impersonate(configuration, options)
  }
}

async function exchangeUserLogin(
  configuration: Extract<Configuration, { type: 'authorized_user' }>,
  { transport }: FederationOptions,
): Promise<Token> {
  const { UserRefreshClient } = await import('google-auth-library')
  const { client_id, client_secret, refresh_token, token_uri } = configuration
  const client = new UserRefreshClient({
    clientId: client_id,
    clientSecret: client_secret,
    refreshToken: refresh_token,
    transporter: transport,
    ...(token_uri !== undefined && { endpoints: { oauth2TokenUrl: token_uri } }),
  })
  return tokenOf(client)
}

async function exchangeWorkforceLogin(
  configuration: Extract<Configuration, { type: 'external_account_authorized_user' }>,
  { transport }: FederationOptions,
): Promise<Token> {
  const { ExternalAccountAuthorizedUserClient } = await import('google-auth-library')
  const { universe_domain, ...rest } = configuration
  const universe = universe_domain ?? googleUniverse
  const client = new ExternalAccountAuthorizedUserClient({
    ...rest,
    universe_domain: universe,
    transporter: transport,
  })
  const { token: given, res } = await client.getAccessToken()
  const { data: token } = tokenText.safeParse(given)
  if (token === undefined) throw noAccessToken()
  const { data } = lifetimeSchema.safeParse(res?.data)
  return { token, expiry: expiryIn(data?.expires_in) }
}

/** Replaces the library's class, which writes a warning to standard error at each use. */
async function impersonate(
  configuration: Extract<Configuration, { type: 'impersonated_service_account' }>,
  options: FederationOptions,
): Promise<Token> {
  const { transport, scope } = options
  const { source_credentials, delegates, service_account_impersonation_url: url } = configuration
  const { token } = await exchange(source_credentials, { ...options, scope: impersonationScope })
  const answer = await transport.request<unknown>({
    url,
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    data: { delegates, scope: [scope], lifetime: '3600s' },
    responseType: 'json',
  })
  const { data } = impersonatedSchema.safeParse(answer.data)
  if (data === undefined) throw noAccessToken()
  return { token: data.accessToken, expiry: Date.parse(data.expireTime) }
}
