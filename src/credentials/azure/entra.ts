import { z } from 'zod'
import { readRegularFile } from '../../input/input.ts'
import { CredentialError } from '../credential-error.ts'
import { type Claims, readClaims } from '../jwt.ts'
import { parseJson } from '../parse-json.ts'
import { quote } from '../quote.ts'
import { askService } from '../request-service.ts'
import { cloudOf } from './clouds.ts'
import type { AzureLogin, AzureOptions } from './login.ts'

const tokenSchema = z.looseObject({ access_token: z.string().min(1) })
const errorSchema = z.looseObject({
  error: z.string().optional().catch(undefined),
  error_description: z.string().optional().catch(undefined),
})

/** What an application shows to Entra to say who it is. */
type Proof =
  | { readonly kind: 'secret'; readonly secret: string; readonly from: string }
  | { readonly kind: 'assertion'; readonly assertion: string; readonly from: string }

type ApplicationOptions = AzureOptions & {
  /** Where the proof comes from, for people. */
  readonly source: string
  readonly prove: () => Promise<Proof>
}

/** An application, by its secret. The file is read each time, so that a new one counts. */
export function bySecret(options: AzureOptions): AzureLogin {
  const { clientSecretFile } = options
  const from = clientSecretFile ?? '$AZURE_CLIENT_SECRET'
  return application({
    ...options,
    source: `the client secret in ${from}`,
    prove: async () => {
      const secret =
        clientSecretFile === undefined
          ? (options.clientSecret ?? '')
          : await readSecret(clientSecretFile, 'clientSecretFile')
      return { kind: 'secret', secret, from }
    },
  })
}

/** An application or a managed identity that trusts the cluster's service account (RFC 7523). */
export function byFederation(options: AzureOptions): AzureLogin {
  const { workloadToken, federatedTokenFile: file = '' } = options
  const from = workloadToken === undefined ? file : 'the token that the kubelet gave'
  return application({
    ...options,
    source: `workload identity, with ${from}`,
    prove: async () => {
      const assertion = workloadToken?.token ?? (await readSecret(file, 'federatedTokenFile'))
      return { kind: 'assertion', assertion, from }
    },
  })
}

function application(options: ApplicationOptions): AzureLogin {
  const { tenantId, clientId, source, prove } = options
  const authority = originOf(options.authorityHost ?? cloudOf(options.origin).authority)
  return {
    source: `${source}, at ${authority?.origin ?? 'no URL'}`,
    identity: clientId === undefined ? 'an application of Entra' : `application ${clientId}`,
    accessToken: async (resource) => {
      if (authority === undefined)
        throw new CredentialError(`the authority host ${options.authorityHost} is no URL`, {
          advice: `set authorityHost, or $AZURE_AUTHORITY_HOST, to a URL such as ${cloudOf(options.origin).authority}`,
        })
      if (tenantId === undefined || clientId === undefined)
        throw incomplete(tenantId === undefined ? ['tenantId', 'AZURE_TENANT_ID'] : undefined)
      const url = new URL(`/${encodeURIComponent(tenantId)}/oauth2/v2.0/token`, authority)
      return askEntra({ url, tenantId, clientId, resource, proof: await prove(), options })
    },
  }
}

type Request = {
  readonly url: URL
  readonly tenantId: string
  readonly clientId: string
  readonly resource: string
  readonly proof: Proof
  readonly options: AzureOptions
}

/** The client credentials grant (RFC 6749, section 4.4). */
async function askEntra(request: Request): Promise<string> {
  const { url, clientId, resource, proof, options } = request
  const shown =
    proof.kind === 'secret'
      ? { client_secret: proof.secret }
      : {
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          client_assertion: proof.assertion,
        }
  const { status, body } = await askService({
    url,
    route: options,
    form: {
      grant_type: 'client_credentials',
      client_id: clientId,
      scope: `${resource}/.default`,
      ...shown,
    },
    advice: `allow connections to ${url.host} (egress rules, NetworkPolicy), or set HTTPS_PROXY`,
  })
  if (status !== 200) throw refusedByEntra(request, status, body)
  const token = tokenSchema.safeParse(parseJson(body))
  if (token.success) return token.data.access_token
  throw new CredentialError(`${url.origin} answered without an access token`)
}

function refusedByEntra(request: Request, status: number, body: string): CredentialError {
  const { url, proof } = request
  const { error = '', error_description = '' } = errorSchema.safeParse(parseJson(body)).data ?? {}
  // The rest is for Microsoft's support: ids, and the time.
  const [description = ''] = error_description.split(/\s*(?:Trace ID:|[\r\n])/, 1)
  const secret = proof.kind === 'secret' ? proof.secret : proof.assertion
  const words = quote([error, description].filter(Boolean).join(': '), [secret])
  const [, code = ''] = /AADSTS(\d+)/.exec(description) ?? []
  return new EntraError(`${url.origin} answered ${status}${words && `: ${words}`}`, {
    code,
    advice: status >= 500 || status === 429 ? passing : adviceFor(code, request),
  })
}

const passing = 'this passes by itself; see https://azure.status.microsoft if it does not'

/** What Entra said no to, by its code (https://aka.ms/AADSTS-codes, "AADSTS error codes"). */
export class EntraError extends CredentialError {
  readonly code: string

  constructor(message: string, { code, advice }: { code: string; advice: string | undefined }) {
    super(message, { advice })
    this.code = code
  }
}

function adviceFor(code: string, { tenantId, clientId, proof }: Request): string | undefined {
  if (proof.kind === 'assertion' && /^(70021\d*|70025)$/.test(code))
    return federationAdvice(clientId, readClaims(proof.assertion) ?? {})
  switch (code) {
    case '700016':
      return `tenant ${tenantId} has no application ${clientId}: compare clientId with az ad app list --filter "appId eq '${clientId}'", or for a managed identity with az identity show --query clientId, and tenantId with az account show --query tenantId`
    case '90002':
    case '900023':
      return `there is no tenant ${tenantId} in this cloud: compare tenantId with az account show --query tenantId, and authorityHost with the cloud`
    case '7000215':
      return `${proof.from} is not a secret of application ${clientId}; it wants the secret's value, not its id. A new one: az ad app credential reset --id ${clientId} --append`
    case '7000222':
      return `the secret in ${proof.from} has expired; a new one: az ad app credential reset --id ${clientId} --append; or use workload identity, which has none`
    case '700024':
      return `the token in ${proof.from} has expired (or this machine's clock is wrong): is it a projected volume that the kubelet renews, and not a copy?`
    case '7000112':
      return `application ${clientId} is disabled: enable its service principal in Entra`
    case '53003':
      return `a conditional access policy of tenant ${tenantId} forbids it: exempt application ${clientId}, or this network`
    default:
      // Not as the query of that address: queries are redacted, as they may hold secrets.
      return code === ''
        ? `look whether that was Entra, or a proxy or a page that wants a login in between`
        : `see what AADSTS${code} means: https://login.microsoftonline.com/error`
  }
}

function federationAdvice(clientId: string, { iss, sub, aud }: Claims): string {
  const audience = (aud ?? ['?']).join(' ')
  const credential = { name: 'berth', issuer: iss ?? '?', subject: sub ?? '?' }
  return `${clientId} needs a federated credential for exactly this token, whose issuer is ${credential.issuer}, subject ${credential.subject} and audience ${audience} (it should be api://AzureADTokenExchange). For a managed identity: az identity federated-credential create --name berth --identity-name IDENTITY --resource-group GROUP --issuer ${credential.issuer} --subject ${credential.subject} --audiences ${audience}. For an application: az ad app federated-credential create --id ${clientId} --parameters '${JSON.stringify({ ...credential, audiences: [audience] })}'. A new one counts after a minute or so`
}

function incomplete(tenant: readonly string[] | undefined): CredentialError {
  const [field = 'clientId', variable = 'AZURE_CLIENT_ID'] = tenant ?? []
  return new CredentialError(`${field} is not configured`, {
    advice: `set credentials.${field}, or $${variable}; in AKS, workload identity sets it in pods labelled azure.workload.identity/use: "true" whose service account is annotated azure.workload.identity/client-id`,
  })
}

async function readSecret(file: string, field: string): Promise<string> {
  const text = await readRegularFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw new CredentialError(`${file} cannot be read: ${cause.code ?? 'unknown'}`, {
      advice: `${field} must name a file that Berth can read: is the volume mounted, and readable for its user?`,
      cause,
    })
  })
  const secret = text.trim()
  if (secret !== '') return secret
  throw new CredentialError(`${file} is empty`, { advice: `fill the file that ${field} names` })
}

function originOf(text: string): URL | undefined {
  return URL.parse(text.includes('://') ? text : `https://${text}`) ?? undefined
}
