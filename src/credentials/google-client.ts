import { z } from 'zod'
import { CredentialError } from './credential-error.ts'
import type { Configuration, External, SubjectTokenSource } from './google-configuration.ts'
import type { Environment } from './google-executable.ts'
import { readSubjectToken } from './google-subject-token.ts'
import type { Transport } from './google-transport.ts'

export type Token = {
  readonly token: string
  /** In milliseconds since 1970. */
  readonly expiry?: number | undefined
}

export type ClientOptions = {
  readonly transport: Transport
  readonly deadline: number
  readonly scope: string
  readonly executables: Environment | undefined
  readonly workloadToken?: string | undefined
  /** Is told the subject token once it is known. */
  readonly onSubjectToken: (token: string) => void
}

/** What an impersonated account's own tokens are asked for with. */
const wholeScope = 'https://www.googleapis.com/auth/cloud-platform'
const googleUniverse = 'googleapis.com'

const livesSchema = z.looseObject({ expires_in: z.number() })
const impersonatedSchema = z.looseObject({ accessToken: z.string(), expireTime: z.string() })

type Client = {
  getAccessToken(): Promise<{ token?: string | null | undefined }>
  readonly credentials: { readonly expiry_date?: number | null | undefined }
}

/**
 * One exchange for an access token, by the library's client for this type of configuration. The
 * clients are new each time: what they keep would be given out again, or throw within five minutes
 * of its expiry when the exchange fails.
 */
export function exchange(configuration: Configuration, options: ClientOptions): Promise<Token> {
  switch (configuration.type) {
    case 'external_account':
      return federated(configuration, options)
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

async function federated(configuration: External, options: ClientOptions): Promise<Token> {
  const { IdentityPoolClient, AwsClient } = await import('google-auth-library')
  const { transport, scope, onSubjectToken } = options
  const { credential_source: source, ...rest } = configuration
  const shared = { ...rest, transporter: transport, scopes: [scope] }
  const read = readSubjectToken({ configuration, ...options })
  const supplied = async () => {
    const token = (await read?.()) ?? ''
    onSubjectToken(token)
    return token
  }
  const client = read
    ? new IdentityPoolClient({ ...shared, subject_token_supplier: { getSubjectToken: supplied } })
    : source?.kind === 'aws'
      ? new AwsClient({ ...shared, credential_source: source.raw })
      : new IdentityPoolClient({ ...shared, ...certificateIn(source) })
  limit(client, transport)
  return tokenOf(client)
}

function certificateIn(source: SubjectTokenSource | undefined) {
  return source?.kind === 'certificate' ? { credential_source: source.raw } : {}
}

/** The client's exchange with STS has a transport of its own, which no option reaches. */
function limit(client: object, transport: Transport): void {
  const sts: unknown = Reflect.get(client, 'stsCredential')
  if (typeof sts === 'object' && sts !== null) Reflect.set(sts, 'transporter', transport)
}

/**
 * In another universe than googleapis.com there is no endpoint for keys: what the key has signed is
 * itself the access token.
 */
async function byKey(
  configuration: Extract<Configuration, { type: 'service_account' }>,
  { transport, scope }: ClientOptions,
): Promise<Token> {
  const { JWT } = await import('google-auth-library')
  const { client_email: email, private_key: key, private_key_id, universe_domain } = configuration
  const universe = universe_domain ?? googleUniverse
  const client = new JWT({
    email,
    key,
    scopes: [scope],
    transporter: transport,
    universe_domain: universe,
    ...(private_key_id !== undefined && { keyId: private_key_id }),
  })
  if (universe === googleUniverse) return tokenOf(client)
  const headers = await client.getRequestHeaders()
  const token = headers.get('authorization')?.replace(/^Bearer /, '')
  if (!token) throw new CredentialError(`the key of ${email} cannot sign`)
  return { token, expiry: Date.now() + 3600_000 }
}

async function byUser(
  configuration: Extract<Configuration, { type: 'authorized_user' }>,
  { transport }: ClientOptions,
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
  { transport }: ClientOptions,
): Promise<Token> {
  const { ExternalAccountAuthorizedUserClient } = await import('google-auth-library')
  const { universe_domain, ...rest } = configuration
  const universe = universe_domain ?? googleUniverse
  const client = new ExternalAccountAuthorizedUserClient({
    ...rest,
    universe_domain: universe,
    transporter: transport,
  })
  const { token, res } = await client.getAccessToken()
  if (!token) throw noToken()
  const { data } = livesSchema.safeParse(res?.data)
  return { token, expiry: data && Date.now() + data.expires_in * 1000 }
}

/** As the library's class for it does, which warns on standard error of each use. */
async function impersonated(
  configuration: Extract<Configuration, { type: 'impersonated_service_account' }>,
  options: ClientOptions,
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

async function tokenOf(client: Client): Promise<Token> {
  const { token } = await client.getAccessToken()
  if (!token) throw noToken()
  return { token, expiry: client.credentials.expiry_date ?? undefined }
}

export function noToken(): CredentialError {
  return new CredentialError('Google answered with something that is no access token', {
    advice: 'look whether a proxy, or a page that wants a login, stands in between',
  })
}
