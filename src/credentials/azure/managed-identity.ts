import { z } from 'zod'
import { CredentialError } from '../credential-error.ts'
import { parseJson } from '../parse-json.ts'
import { quote } from '../quote.ts'
import { askService, type ServiceAnswer } from '../request-service.ts'
import { EntraError } from './entra.ts'
import type { AzureLogin, AzureOptions } from './login.ts'

const metadataServer = 'http://169.254.169.254'
/** It is next door, or not at all, in milliseconds. */
const connectTimeout = 1000

const tokenSchema = z.looseObject({ access_token: z.string().min(1) })
/** The metadata service's own words, and App Service's. */
const errorSchema = z.looseObject({
  error: z.string().optional().catch(undefined),
  error_description: z.string().optional().catch(undefined),
  message: z.string().optional().catch(undefined),
})

type Endpoint = {
  readonly name: string
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly secrets: readonly string[]
}

/**
 * The identity that Azure gave to this machine, or to the container by App Service or Container Apps.
 * Asked without any proxy: nobody else could answer.
 */
export function byManagedIdentity(options: AzureOptions): AzureLogin {
  const { clientId } = options
  const endpoint = endpointOf(options)
  return {
    source: `${endpoint?.name ?? 'a managed identity'}${endpoint === undefined ? '' : ` at ${endpoint.url.origin}`}`,
    identity:
      clientId === undefined
        ? 'the managed identity of this machine'
        : `managed identity ${clientId}`,
    accessToken: async (resource) => {
      if (endpoint === undefined)
        throw new CredentialError('the address of the metadata service is no URL', {
          advice: 'correct $IDENTITY_ENDPOINT, or $AZURE_POD_IDENTITY_AUTHORITY_HOST',
        })
      const url = new URL(endpoint.url)
      url.searchParams.set('resource', resource)
      if (clientId !== undefined) url.searchParams.set('client_id', clientId)
      const { headers } = endpoint
      const answer = await askService({ url, headers, connectTimeout, advice: elsewhere })
      if (answer.status !== 200) throw refused(endpoint, answer, clientId)
      const token = tokenSchema.safeParse(parseJson(answer.body))
      if (token.success) return token.data.access_token
      throw new CredentialError(`${url.origin} answered without an access token`)
    },
  }
}

const elsewhere =
  'no way to log in to Azure is configured but a managed identity, and this machine seems to have none: set federatedTokenFile, tenantId and clientId (in AKS: label the pod azure.workload.identity/use: "true" and annotate its service account azure.workload.identity/client-id), or clientSecretFile; on a machine of Azure: allow connections to 169.254.169.254'

function endpointOf({ identityEndpoint, identityHeader, metadataHost }: AzureOptions) {
  const isAppService = identityEndpoint !== undefined && identityHeader !== undefined
  const url = isAppService
    ? URL.parse(identityEndpoint)
    : URL.parse('/metadata/identity/oauth2/token', metadataHost ?? metadataServer)
  if (url === null) return undefined
  url.searchParams.set('api-version', isAppService ? '2019-08-01' : '2018-02-01')
  const endpoint: Endpoint = isAppService
    ? {
        name: "App Service's managed identity",
        url,
        headers: { 'x-identity-header': identityHeader },
        secrets: [identityHeader],
      }
    : { name: "this machine's managed identity", url, headers: { metadata: 'true' }, secrets: [] }
  return endpoint
}

function refused(
  { url, secrets }: Endpoint,
  { status, body }: ServiceAnswer,
  clientId: string | undefined,
): CredentialError {
  const told = errorSchema.safeParse(parseJson(body)).data
  const said = [told?.error, told?.error_description ?? told?.message].filter(Boolean).join(': ')
  const words = quote(said, secrets)
  const message = `${url.origin} answered ${status}${words && `: ${words}`}`
  const [, code] = /AADSTS(\d+)/.exec(words) ?? []
  const advice = adviceFor(status, words, clientId)
  if (code !== undefined) return new EntraError(message, { code, advice })
  return new CredentialError(message, { advice })
}

function adviceFor(status: number, words: string, clientId: string | undefined): string {
  if (status === 404 || status === 410)
    return 'the metadata service is being updated, for about a minute; if it stays like this, this is not a machine of Azure: configure another way'
  if (status === 429)
    return 'the metadata service is asked too often by programs on this machine; this passes by itself'
  if (status >= 500) return 'this passes by itself; see https://azure.status.microsoft if not'
  if (/multiple user assigned/i.test(words))
    return "this machine has several managed identities: set clientId to that of the one that may pull (in AKS the kubelet's: az aks show -n CLUSTER -g GROUP --query identityProfile.kubeletidentity.clientId)"
  if (status === 400)
    return clientId === undefined
      ? 'no managed identity is assigned to this machine: assign one (az vm identity assign, az vmss identity assign, az containerapp identity assign), or set clientId where there are several'
      : `managed identity ${clientId} is not assigned to this machine: assign it (az vm identity assign --identities, az vmss identity assign, az containerapp identity assign), or correct clientId`
  return 'something between Berth and the metadata service refuses: a NetworkPolicy, a proxy, or pod identity of another kind'
}
