import type { CredentialSource } from '../credential.ts'
import { type Claims, readClaims } from '../jwt.ts'
import { cloudOf } from './clouds.ts'
import { byFederation, bySecret, EntraError } from './entra.ts'
import type { AzureLogin, AzureOptions } from './login.ts'
import { byManagedIdentity } from './managed-identity.ts'
import { exchangeToken, pullAdvice } from './registry.ts'

/** What the registry takes a refresh token as a password of. */
const username = '00000000-0000-0000-0000-000000000000'

/** What tokens are for: the same in all of Azure's clouds. */
const registries = 'https://containerregistry.azure.net'
const unknownResource = '500011'

/**
 * Azure Container Registry, by plain HTTP: three grants are three requests, where Azure's own library
 * brings a hundred times as much code, caches and retries of its own.
 *
 * 1. Entra gives an access token for what the configuration shows it: a client secret, else a service
 *    account's token that it federates with; else a managed identity's is asked for nearby.
 * 2. The registry itself, and nobody else, exchanges that for a refresh token of three hours.
 * 3. remote/authorization has the registry give an access token for each repository for it.
 */
export function createAzureSource(given: AzureOptions): CredentialSource {
  const options = annotated(given)
  const { origin, tenantId, clientId } = options
  const way = chooseWay(options)
  let claims: Claims = {}
  const principal = () => claims.oid ?? claims.appid ?? claims.azp ?? clientId
  const advice = (repository: string) => pullAdvice({ origin, principal: principal(), repository })
  return {
    identity: () => {
      const known = claims.appid ?? claims.azp
      const who =
        clientId === undefined && known !== undefined ? `managed identity ${known}` : way.identity
      return claims.oid === undefined ? who : `${who} (object ${claims.oid})`
    },
    source: () => way.source,
    fetch: async () => {
      const accessToken = await askForRegistries(way, origin)
      claims = readClaims(accessToken) ?? {}
      const tenant = claims.tid ?? tenantId
      const token = await exchangeToken({
        origin,
        accessToken,
        tenant,
        advice: advice(''),
        route: options,
      })
      const lifetime = lifetimeOf(token)
      return {
        credential: { kind: 'identity-token', username, token },
        ...(lifetime !== undefined && { lifetime }),
      }
    },
    advice,
  }
}

/** The kubelet passes on what the service account says of itself. */
function annotated(options: AzureOptions): AzureOptions {
  const annotations = options.workloadToken?.annotations ?? {}
  return {
    ...options,
    clientId: annotations['azure.workload.identity/client-id'] ?? options.clientId,
    tenantId: annotations['azure.workload.identity/tenant-id'] ?? options.tenantId,
  }
}

function chooseWay(options: AzureOptions): AzureLogin {
  const { workloadToken, clientSecretFile, clientSecret, federatedTokenFile } = options
  if (workloadToken !== undefined) return byFederation(options)
  if (clientSecretFile !== undefined || clientSecret !== undefined) return bySecret(options)
  return federatedTokenFile === undefined ? byManagedIdentity(options) : byFederation(options)
}

async function askForRegistries(way: AzureLogin, origin: string): Promise<string> {
  try {
    return await way.accessToken(registries)
  } catch (error) {
    if (!(error instanceof EntraError) || error.code !== unknownResource) throw error
    return way.accessToken(cloudOf(origin).resourceManager)
  }
}

/** In milliseconds. It was made just now, whatever our clock says. */
function lifetimeOf(token: string): number | undefined {
  const { exp, iat = Date.now() / 1000 } = readClaims(token) ?? {}
  return exp === undefined ? undefined : (exp - iat) * 1000
}
