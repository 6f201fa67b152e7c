import { z } from 'zod'
import { type AdviceRow, advise } from '../advise.ts'
import { CredentialError } from '../credential-error.ts'
import { parseJson } from '../parse-json.ts'
import { quote } from '../quote.ts'
import { requestService, type ServiceResponse } from '../request-service.ts'
import { EntraError } from './entra-error.ts'
import type { AzureLogin, AzureOptions } from './login.ts'

const metadataServer = 'http://169.254.169.254'
/** In milliseconds. Short, because the service is on the same machine or missing. */
const connectTimeout = 1000

const tokenSchema = z.looseObject({ access_token: z.string().min(1) })
/** Errors of the metadata service, and of App Service. */
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
 * The managed identity of this machine, or of the container in App Service or Container Apps. Requests
 * use no proxy, because the service is on the same machine.
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
        throw new CredentialError('the address of the metadata service is not a URL', {
          advice: 'correct $IDENTITY_ENDPOINT, or $AZURE_POD_IDENTITY_AUTHORITY_HOST',
        })
      const url = new URL(endpoint.url)
      url.searchParams.set('resource', resource)
      if (clientId !== undefined) url.searchParams.set('client_id', clientId)
      const { headers } = endpoint
      const answer = await requestService({
        url,
        headers,
        connectTimeout,
        advice: unreachableAdvice,
      })
      if (answer.status !== 200) throw rejected(endpoint, answer, clientId)
      const token = tokenSchema.safeParse(parseJson(answer.body))
      if (token.success) return token.data.access_token
      throw new CredentialError(
        `cannot get a token of the managed identity: ${url.origin} answered without an access token`,
      )
    },
  }
}

const unreachableAdvice =
  'no other way to log in to Azure is configured, and this machine seems to have no managed identity: set federatedTokenFile, tenantId and clientId (in AKS: give the pod the label azure.workload.identity/use: "true" and its service account the annotation azure.workload.identity/client-id), or clientSecretFile; on a machine of Azure, allow connections to 169.254.169.254'

function endpointOf({ identityEndpoint, identityHeader, metadataHost }: AzureOptions) {
  const isAppService = identityEndpoint !== undefined && identityHeader !== undefined
  const url = isAppService
    ? URL.parse(identityEndpoint)
    : URL.parse('/metadata/identity/oauth2/token', metadataHost ?? metadataServer)
  if (url === null) return undefined
  url.searchParams.set('api-version', isAppService ? '2019-08-01' : '2018-02-01')
  const endpoint: Endpoint = isAppService
    ? {
        name: 'the managed identity of App Service',
        url,
        headers: { 'x-identity-header': identityHeader },
        secrets: [identityHeader],
      }
    : {
        name: 'the managed identity of this machine',
        url,
        headers: { metadata: 'true' },
        secrets: [],
      }
  return endpoint
}

function rejected(
  { url, secrets }: Endpoint,
  { status, body }: ServiceResponse,
  clientId: string | undefined,
): CredentialError {
  const fields = errorSchema.safeParse(parseJson(body)).data
  const text = [fields?.error, fields?.error_description ?? fields?.message]
  const details = quote(text.filter(Boolean).join(': '), secrets)
  const message = `cannot get a token of the managed identity: ${url.origin} answered ${status}${details && `: ${details}`}`
  const [, code] = /AADSTS(\d+)/.exec(details) ?? []
  const advice = advise(rows, { status, details, clientId })
  if (code !== undefined) return new EntraError(message, { code, advice })
  return new CredentialError(message, { advice })
}

type Failure = {
  readonly status: number
  /** The error message in the response. */
  readonly details: string
  readonly clientId: string | undefined
}

const rows: readonly AdviceRow<Failure>[] = [
  {
    when: ({ status }) => status === 404 || status === 410,
    say: 'the metadata service is being updated, which takes about a minute; if the error persists, this machine does not belong to Azure: configure another way to log in',
  },
  {
    when: ({ status }) => status === 429,
    say: 'programs on this machine send too many requests to the metadata service; Berth retries, no change is needed',
  },
  {
    when: ({ status }) => status >= 500,
    say: 'the metadata service has an internal error (see https://azure.status.microsoft); Berth retries, no change is needed',
  },
  {
    when: ({ details }) => /multiple user assigned/i.test(details),
    say: "this machine has several managed identities: set upstreams[].credentials.clientId to the one that may pull (in AKS, the kubelet's: az aks show -n CLUSTER -g GROUP --query identityProfile.kubeletidentity.clientId)",
  },
  {
    when: ({ status, clientId }) => status === 400 && clientId === undefined,
    say: 'this machine has no managed identity: assign one (az vm identity assign, az vmss identity assign, az containerapp identity assign), or set upstreams[].credentials.clientId if there are several',
  },
  {
    when: ({ status }) => status === 400,
    say: ({ clientId }) =>
      `managed identity ${clientId} is not assigned to this machine: assign it (az vm identity assign --identities, az vmss identity assign, az containerapp identity assign), or correct upstreams[].credentials.clientId`,
  },
  {
    when: () => true,
    say: 'a NetworkPolicy, a proxy or another pod identity add-on rejects requests from Berth to the metadata service: allow them',
  },
]
