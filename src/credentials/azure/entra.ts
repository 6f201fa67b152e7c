import { z } from 'zod'
import { readRegularFile } from '../../input/input.ts'
import { advise } from '../advise.ts'
import { CredentialError } from '../credential-error.ts'
import { parseJson } from '../parse-json.ts'
import { quote } from '../quote.ts'
import { requestService } from '../request-service.ts'
import { cloudOf } from './clouds.ts'
import { entraRows } from './entra-advice.ts'
import { EntraError } from './entra-error.ts'
import type { AzureLogin, AzureOptions } from './login.ts'

const tokenSchema = z.looseObject({ access_token: z.string().min(1) })
const errorSchema = z.looseObject({
  error: z.string().optional().catch(undefined),
  error_description: z.string().optional().catch(undefined),
})

/** The proof of an application's identity. */
type Proof =
  | { readonly kind: 'secret'; readonly secret: string; readonly source: string }
  | { readonly kind: 'assertion'; readonly assertion: string; readonly source: string }

type ApplicationOptions = AzureOptions & {
  /** Of the proof, for messages. */
  readonly source: string
  readonly readProof: () => Promise<Proof>
}

/** Logs in as an application with its secret. Reads the file each time, so that a new secret takes effect. */
export function bySecret(options: AzureOptions): AzureLogin {
  const { clientSecretFile } = options
  const from = clientSecretFile ?? '$AZURE_CLIENT_SECRET'
  return application({
    ...options,
    source: `the client secret in ${from}`,
    readProof: async () => {
      const secret =
        clientSecretFile === undefined
          ? (options.clientSecret ?? '')
          : await readSecret(clientSecretFile, 'clientSecretFile')
      return { kind: 'secret', secret, source: from }
    },
  })
}

/** Logs in as an application or managed identity that trusts the cluster's service account (RFC 7523). */
export function byFederation(options: AzureOptions): AzureLogin {
  const { workloadToken, federatedTokenFile: file = '' } = options
  const from = workloadToken === undefined ? file : 'the token from the kubelet'
  return application({
    ...options,
    source: `workload identity with ${from}`,
    readProof: async () => {
      const assertion = workloadToken?.token ?? (await readSecret(file, 'federatedTokenFile'))
      return { kind: 'assertion', assertion, source: from }
    },
  })
}

function application(options: ApplicationOptions): AzureLogin {
  const { tenantId, clientId, source, readProof } = options
  const authority = originOf(options.authorityHost ?? cloudOf(options.origin).authority)
  return {
    source: `${source}, at ${authority?.origin ?? 'an invalid URL'}`,
    identity: clientId === undefined ? 'an application in Entra ID' : `application ${clientId}`,
    accessToken: async (resource) => {
      if (authority === undefined)
        throw new CredentialError(`the authority host ${options.authorityHost} is not a URL`, {
          advice: `set authorityHost, or $AZURE_AUTHORITY_HOST, to a URL such as ${cloudOf(options.origin).authority}`,
        })
      if (tenantId === undefined || clientId === undefined)
        throw notConfigured(tenantId === undefined ? ['tenantId', 'AZURE_TENANT_ID'] : undefined)
      const url = new URL(`/${encodeURIComponent(tenantId)}/oauth2/v2.0/token`, authority)
      return requestToken({ url, tenantId, clientId, resource, proof: await readProof(), options })
    },
  }
}

type EntraRequest = {
  readonly url: URL
  readonly tenantId: string
  readonly clientId: string
  readonly resource: string
  readonly proof: Proof
  readonly options: AzureOptions
}

/** The client credentials grant (RFC 6749, section 4.4). */
async function requestToken(request: EntraRequest): Promise<string> {
  const { url, clientId, resource, proof, options } = request
  const proofFields =
    proof.kind === 'secret'
      ? { client_secret: proof.secret }
      : {
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          client_assertion: proof.assertion,
        }
  const { status, body } = await requestService({
    url,
    route: options,
    form: {
      grant_type: 'client_credentials',
      client_id: clientId,
      scope: `${resource}/.default`,
      ...proofFields,
    },
    advice: `allow connections to ${url.host} (egress rules, NetworkPolicy), or set HTTPS_PROXY`,
  })
  if (status !== 200) throw rejectedByEntra(request, status, body)
  const token = tokenSchema.safeParse(parseJson(body))
  if (token.success) return token.data.access_token
  throw new CredentialError(
    `cannot log in to Entra ID: ${url.origin} answered without an access token`,
  )
}

function rejectedByEntra(request: EntraRequest, status: number, body: string): EntraError {
  const { url, tenantId, clientId, proof } = request
  const { error = '', error_description = '' } = errorSchema.safeParse(parseJson(body)).data ?? {}
  // The rest is for Microsoft's support: IDs and the time.
  const [description = ''] = error_description.split(/\s*(?:Trace ID:|[\r\n])/, 1)
  const secret = proof.kind === 'secret' ? proof.secret : proof.assertion
  const message = quote([error, description].filter(Boolean).join(': '), [secret])
  const [, code = ''] = /AADSTS(\d+)/.exec(description) ?? []
  const assertion = proof.kind === 'assertion' ? proof.assertion : undefined
  const { source } = proof
  return new EntraError(
    `cannot log in to Entra ID as application ${clientId}: ${url.origin} answered ${status}${message && `: ${message}`}`,
    { code, advice: advise(entraRows, { status, code, tenantId, clientId, source, assertion }) },
  )
}

function notConfigured(tenant: readonly string[] | undefined): CredentialError {
  const [field = 'clientId', variable = 'AZURE_CLIENT_ID'] = tenant ?? []
  return new CredentialError(`${field} is not configured`, {
    advice: `set upstreams[].credentials.${field}, or $${variable}; in AKS, workload identity sets it in pods with the label azure.workload.identity/use: "true" whose service account has the annotation azure.workload.identity/client-id`,
  })
}

async function readSecret(file: string, field: string): Promise<string> {
  const text = await readRegularFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw new CredentialError(`cannot read ${file}: ${cause.code ?? 'unknown'}`, {
      advice: `set upstreams[].credentials.${field} to a file that Berth can read: check that the volume is mounted and readable for Berth's user`,
      cause,
    })
  })
  const secret = text.trim()
  if (secret !== '') return secret
  throw new CredentialError(`${file} is empty`, {
    advice: `write a value into the file that upstreams[].credentials.${field} names`,
  })
}

function originOf(text: string): URL | undefined {
  return URL.parse(text.includes('://') ? text : `https://${text}`) ?? undefined
}
