import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import type { CredentialSource, Fetched, WorkloadToken } from './credentials.ts'
import { readJsonFile } from './json-file.ts'

/** The user name that Artifact Registry's token endpoint wants beside an access token. */
const username = 'oauth2accesstoken'

const scopes = ['https://www.googleapis.com/auth/cloud-platform.read-only']

const configurationSchema = z.looseObject({
  type: z.string(),
  client_email: z.string().optional(),
  audience: z.string().optional(),
  service_account_impersonation_url: z.string().optional(),
})

type GoogleOptions = {
  readonly file?: string | undefined
  readonly metadataHost?: string | undefined
  readonly optional: boolean
  readonly access: 'pull' | 'push'
  readonly host: string
  readonly workloadToken?: WorkloadToken | undefined
}

/**
 * Google's application default credentials: a credential configuration (workload identity
 * federation), a service account's key or a user's refresh token from `file`, else the metadata
 * server. Each fetch builds its client anew from the file, so that a changed file counts, and so
 * that no token cached in the library (which throws when the exchange fails within five minutes of
 * its expiry, though it still has a valid one) stands between us and the exchange.
 */
export function createGoogleSource({
  file,
  metadataHost,
  optional,
}: GoogleOptions): CredentialSource {
  let identity =
    file === undefined
      ? "the metadata server's default service account"
      : `the credentials in ${file}`
  return {
    identity: () => identity,
    source: () => file ?? 'the metadata server',
    fetch: async () => {
      if (file !== undefined) {
        const configuration = await readJsonFile(file, configurationSchema)
        identity = identityOf(configuration) ?? identity
        return fromConfiguration(configuration)
      }
      if (metadataHost !== undefined || (await hasMetadataServer())) return fromMetadataServer()
      if (!optional)
        throw new Error('no credential file is configured and this machine has no metadata server')
      identity = 'anonymous'
      return { credential: { kind: 'anonymous' } }
    },
  }
}

function identityOf(configuration: z.infer<typeof configurationSchema>): string | undefined {
  const impersonated = configuration.service_account_impersonation_url?.match(
    /\/serviceAccounts\/([^/:]+):/,
  )?.[1]
  return impersonated ?? configuration.client_email ?? configuration.audience
}

async function fromConfiguration(
  configuration: z.infer<typeof configurationSchema>,
): Promise<Fetched> {
  const { GoogleAuth } = await import('google-auth-library')
  const client = new GoogleAuth({ scopes }).fromJSON(
    configuration as Parameters<InstanceType<typeof GoogleAuth>['fromJSON']>[0],
  )
  return fetchedFrom(client)
}

async function fromMetadataServer(): Promise<Fetched> {
  const { Compute } = await import('google-auth-library')
  return fetchedFrom(new Compute({ scopes }))
}

type TokenClient = {
  getAccessToken(): Promise<{ token?: string | null | undefined }>
  readonly credentials: { readonly expiry_date?: number | null | undefined }
}

async function fetchedFrom(client: TokenClient): Promise<Fetched> {
  const { token } = await client.getAccessToken()
  if (!token) throw new Error('Google answered without an access token')
  const expiry = client.credentials.expiry_date
  const credential = { kind: 'access-token', username, token } as const
  return expiry ? { credential, lifetime: expiry - Date.now() } : { credential }
}

/**
 * Asks the machine's firmware, not the network: elsewhere a lookup of the metadata server hangs,
 * and goes to an address that nobody allowed.
 */
async function hasMetadataServer(): Promise<boolean> {
  const product = await readFile('/sys/class/dmi/id/product_name', 'utf8').catch(() => '')
  return product.startsWith('Google')
}
