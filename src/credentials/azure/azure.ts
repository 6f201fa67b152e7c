import type { Access, CredentialSource } from '../credential.ts'
import { type Claims, readClaims } from '../jwt.ts'
import { cloudOf } from './clouds.ts'
import { byFederation, bySecret } from './entra.ts'
import { EntraError } from './entra-error.ts'
import type { AzureLogin, AzureOptions } from './login.ts'
import { byManagedIdentity } from './managed-identity.ts'
import { accessAdvice, exchangeToken } from './registry.ts'

/** The user name for a refresh token as password. */
const username = '00000000-0000-0000-0000-000000000000'

/** The audience of registry tokens: the same in all clouds. */
const registryAudience = 'https://containerregistry.azure.net'
/** AADSTS500011: the tenant does not know the audience. */
const unknownAudience = '500011'

/**
 * Azure Container Registry, with plain HTTP: the login is one to three requests, for which Azure's
 * library has a hundred times as much code, and its own caches and retries.
 *
 * 1. Entra ID issues an access token for a client secret, else for a federated service account token,
 *    else the metadata service issues one for a managed identity.
 * 2. The registry exchanges it for a refresh token that is valid for three hours. The access token goes
 *    to the registry's own origin only.
 * 3. remote/authorization exchanges the refresh token for an access token per repository.
 */
export function createAzureSource(given: AzureOptions): CredentialSource {
  const options = withAnnotations(given)
  const { origin, tenantId, clientId } = options
  const login = chooseLogin(options)
  let claims: Claims = {}
  const principal = () => claims.oid ?? claims.appid ?? claims.azp ?? clientId
  const advice = (repository: string, access?: Access) =>
    accessAdvice({ origin, principal: principal(), repository, access })
  return {
    identity: () => {
      const known = claims.appid ?? claims.azp
      const name =
        clientId === undefined && known !== undefined ? `managed identity ${known}` : login.identity
      return claims.oid === undefined ? name : `${name} (object ${claims.oid})`
    },
    source: () => login.source,
    fetch: async () => {
      const accessToken = await requestAccessToken(login, origin)
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

/** The annotations of the pod's service account, from the kubelet, override the configuration. */
function withAnnotations(options: AzureOptions): AzureOptions {
  const annotations = options.workloadToken?.annotations ?? {}
  return {
    ...options,
    clientId: annotations['azure.workload.identity/client-id'] ?? options.clientId,
    tenantId: annotations['azure.workload.identity/tenant-id'] ?? options.tenantId,
  }
}

function chooseLogin(options: AzureOptions): AzureLogin {
  const { workloadToken, clientSecretFile, clientSecret, federatedTokenFile } = options
  if (workloadToken !== undefined) return byFederation(options)
  if (clientSecretFile !== undefined || clientSecret !== undefined) return bySecret(options)
  return federatedTokenFile === undefined ? byManagedIdentity(options) : byFederation(options)
}

async function requestAccessToken(login: AzureLogin, origin: string): Promise<string> {
  try {
    return await login.accessToken(registryAudience)
  } catch (error) {
    if (!(error instanceof EntraError) || error.code !== unknownAudience) throw error
    return login.accessToken(cloudOf(origin).resourceManager)
  }
}

/** In milliseconds. The token was issued just now, so our clock does not matter. */
function lifetimeOf(token: string): number | undefined {
  const { exp, iat = Date.now() / 1000 } = readClaims(token) ?? {}
  return exp === undefined ? undefined : (exp - iat) * 1000
}
