import { z } from 'zod'
import { expiryIn, lifeInSeconds, noToken, type Token, tokenOf, tokenText } from './access-token.ts'
import type { Configuration } from './configuration.ts'
import { type FederationOptions, federate } from './federation.ts'
import { byKey } from './service-account-key.ts'

/** What an impersonated account's own tokens are asked for with. */
const wholeScope = 'https://www.googleapis.com/auth/cloud-platform'
const googleUniverse = 'googleapis.com'

const livesSchema = z.looseObject({ expires_in: lifeInSeconds })
const impersonatedSchema = z.looseObject({ accessToken: tokenText, expireTime: z.string() })

/**
 * One exchange for an access token, by the library's client for this type of configuration. The
 * clients are new each time: what they keep would be given out again, or throw within five minutes
 * of its expiry when the exchange fails.
 */
export function exchange(configuration: Configuration, options: FederationOptions): Promise<Token> {
  switch (configuration.type) {
    case 'external_account':
      return federate(configuration, options)
    case 'service_account':
      return byKey(configuration, options)
    case 'authorized_user':
      return byUser(configuration, options)
    case 'external_account_authorized_user':
      return byExternalUser(configuration, options)
    case 'impersonated_service_account':
      return impersonated(configuration, options)
  }
}

async function byUser(
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

async function byExternalUser(
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
  if (token === undefined) throw noToken()
  const { data } = livesSchema.safeParse(res?.data)
  return { token, expiry: expiryIn(data?.expires_in) }
}

/** As the library's class for it does, which warns on standard error of each use. */
async function impersonated(
  configuration: Extract<Configuration, { type: 'impersonated_service_account' }>,
  options: FederationOptions,
): Promise<Token> {
  const { transport, scope } = options
  const { source_credentials, delegates, service_account_impersonation_url: url } = configuration
  const { token } = await exchange(source_credentials, { ...options, scope: wholeScope })
  const answer = await transport.request<unknown>({
    url,
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    data: { delegates, scope: [scope], lifetime: '3600s' },
    responseType: 'json',
  })
  const { data } = impersonatedSchema.safeParse(answer.data)
  if (data === undefined) throw noToken()
  return { token: data.accessToken, expiry: Date.parse(data.expireTime) }
}
