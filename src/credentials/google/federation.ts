import type { BaseExternalAccountClient } from 'google-auth-library'
import { type Token, tokenOf } from './access-token.ts'
import type { External } from './configuration.ts'
import type { Environment } from './executable.ts'
import { readSubjectToken } from './subject-token.ts'
import type { Transport } from './transport.ts'

export type FederationOptions = {
  readonly transport: Transport
  /** In milliseconds. */
  readonly deadline: number
  readonly scope: string
  readonly executables: Environment | undefined
  readonly workloadToken?: string | undefined
  /** Called with the subject token before it is exchanged. */
  readonly onSubjectToken: (token: string) => void
}

/**
 * 1. Get the subject token, which states our identity where Berth runs.
 * 2. The security token service exchanges it for an access token of the principal in its pool.
 * 3. With impersonation, exchange that token for an access token of the service account.
 */
export async function federate(
  configuration: External,
  options: FederationOptions,
): Promise<Token> {
  const client = await clientFor(configuration, options)
  const retrieve = client.retrieveSubjectToken.bind(client)
  client.retrieveSubjectToken = async () => {
    const token = await retrieve()
    options.onSubjectToken(token)
    setStsTransport(client)
    return token
  }
  return tokenOf(client)
}

async function clientFor(
  configuration: External,
  options: FederationOptions,
): Promise<BaseExternalAccountClient> {
  const { IdentityPoolClient, AwsClient } = await import('google-auth-library')
  const { credential_source: source, ...rest } = configuration
  const shared = { ...rest, transporter: options.transport, scopes: [options.scope] }
  const read = readSubjectToken({ configuration, ...options })
  if (read !== undefined)
    return new IdentityPoolClient({ ...shared, subject_token_supplier: { getSubjectToken: read } })
  if (source?.kind === 'aws') return new AwsClient({ ...shared, credential_source: source.raw })
  return new IdentityPoolClient({
    ...shared,
    ...(source?.kind === 'certificate' && { credential_source: source.raw }),
  })
}

/**
 * The client's exchange with STS has a transport of its own, without a timeout, and no option replaces
 * it. With a client certificate the library creates it late, so it is replaced after the subject token
 * is known.
 */
function setStsTransport(client: BaseExternalAccountClient): void {
  const sts: unknown = Reflect.get(client, 'stsCredential')
  if (typeof sts === 'object' && sts !== null) Reflect.set(sts, 'transporter', client.transporter)
}
