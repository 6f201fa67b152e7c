import { randomBytes, randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { nameIn } from './artifact-registry.ts'
import type { KeyPair } from './certificates.ts'
import { type Failure, type FakeCloud, startFakeCloud } from './fake-cloud.ts'
import {
  answer,
  answerJson,
  type FakeServer,
  type Handler,
  startFakeServer,
} from './fake-server.ts'
import type { Image } from './images.ts'
import { createSigner, decode, isSignedBy, type Signer } from './jwt.ts'
import type { ObjectStore } from './object-store.ts'
import { createContent } from './registry-content.ts'
import { serveContent } from './serve-content.ts'

/** An application, or a user-assigned managed identity. */
export type Principal = {
  readonly clientId: string
  readonly objectId: string
  secret: string
  secretExpired: boolean
  /** Whose service account tokens it trusts. */
  federated: { readonly issuer: string; readonly subject: string; readonly audience: string }[]
}

/** A cluster as an issuer of service account tokens, with its public keys at their usual place. */
export interface Issuer extends Pick<FakeServer, 'url' | 'stop' | 'requests'> {
  /** A pod's projected token. */
  issue(claims?: Readonly<Record<string, unknown>>, seconds?: number): string
  /** The same claims, signed with another key. */
  forge(): string
}

export interface Azure {
  readonly tenantId: string
  readonly application: Principal
  readonly issuer: Issuer
  /** Entra's URL, for `authorityHost`. */
  readonly entra: FakeServer
  /** The metadata service of a machine, and the endpoint of App Service; one server. */
  readonly machine: FakeServer
  /** What opens App Service's endpoint. */
  readonly identityHeader: string
  /** Those that are assigned to the machine. */
  readonly assigned: Principal[]
  /** Resources that the tenant knows. */
  readonly resources: Set<string>
  /** Of Entra's access tokens, in seconds. */
  life: number
  /** `entra` or `machine` fails like this, from now on. */
  fail(which: 'entra' | 'machine', failure: Failure | undefined): void
  /** The claims of a token that Entra gave and that is good at this moment. */
  verify(accessToken: string): Readonly<Record<string, unknown>> | undefined
  /** All tokens that were ever given. */
  tokens(): readonly string[]
  stop(): Promise<void>
}

export const audience = 'api://AzureADTokenExchange'
export const subject = 'system:serviceaccount:berth:berth'

const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** RSA keys take a moment to make. */
const [cluster, forger, entraSigner, registrySigner] = [1, 2, 3, 4].map(createSigner) as [
  Signer,
  Signer,
  Signer,
  Signer,
]

export async function startIssuer(): Promise<Issuer> {
  const server = await startFakeServer(({ path }, response) => {
    if (path === '/.well-known/openid-configuration')
      return answerJson(response, 200, {
        issuer: server.url,
        jwks_uri: `${server.url}/openid/v1/jwks`,
      })
    if (path === '/openid/v1/jwks') return answerJson(response, 200, { keys: [cluster.jwk] })
    answer(response, 404)
  })
  const claims = (given = {}) => ({ iss: server.url, sub: subject, aud: [audience], ...given })
  return {
    ...server,
    issue: (given, seconds = 3600) => cluster.sign(claims(given), seconds),
    forge: () => forger.sign(claims(), 3600),
  }
}

export async function startAzure(): Promise<Azure> {
  const issuer = await startIssuer()
  const tenantId = randomUUID()
  const identityHeader = `canary-header-${randomUUID()}`
  const application = principal([{ issuer: issuer.url, subject, audience }])
  const given: string[] = []

  const give = (who: Principal, resource: string): { token: string; seconds: number } => {
    const token = entraSigner.sign(
      {
        aud: resource,
        iss: `https://sts.windows.net/${tenantId}/`,
        appid: who.clientId,
        oid: who.objectId,
        tid: tenantId,
        // No two are the same.
        uti: randomUUID(),
      },
      azure.life,
    )
    given.push(token)
    return { token, seconds: azure.life }
  }

  const entra = await startFakeCloud<'entra'>({
    endpointOf: () => 'entra',
    handle: async (_entra, request, response) => {
      const [, tenant = ''] = /^\/([^/]+)\/oauth2\/v2\.0\/token$/.exec(request.path) ?? []
      if (request.method !== 'POST' || tenant === '') return answer(response, 404)
      const form = new URLSearchParams(request.body)
      const refusal = await refusalOf(tenant, form)
      if (refusal !== undefined) return refuse(response, refusal)
      const resource = (form.get('scope') ?? '').replace(/\/\.default$/, '')
      const { token, seconds } = give(application, resource)
      answerJson(response, 200, {
        token_type: 'Bearer',
        expires_in: seconds,
        ext_expires_in: seconds,
        access_token: token,
      })
    },
  })

  /** In the order in which Entra finds fault. */
  const refusalOf = async (tenant: string, form: URLSearchParams): Promise<Refusal | undefined> => {
    const clientId = form.get('client_id') ?? ''
    if (tenant !== tenantId)
      return [
        400,
        'invalid_request',
        90002,
        `Tenant '${tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.`,
      ]
    if (clientId !== application.clientId)
      return [
        400,
        'unauthorized_client',
        700016,
        `Application with identifier '${clientId}' was not found in the directory 'Contoso'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant.`,
      ]
    if (form.get('grant_type') !== 'client_credentials')
      return [400, 'unsupported_grant_type', 70003, 'The app requested an unsupported grant type.']
    const scope = form.get('scope') ?? ''
    if (!scope.endsWith('/.default'))
      return [400, 'invalid_scope', 1002012, `The provided value for scope ${scope} is not valid.`]
    const refused = form.has('client_secret')
      ? refuseSecret(form.get('client_secret') ?? '')
      : await refuseAssertion(form)
    if (refused !== undefined) return refused
    const resource = scope.replace(/\/\.default$/, '')
    if (!azure.resources.has(resource))
      return [
        400,
        'invalid_resource',
        500011,
        `The resource principal named ${resource} was not found in the tenant named Contoso.`,
      ]
    return undefined
  }

  const refuseSecret = (secret: string): Refusal | undefined => {
    if (secret !== application.secret)
      return [
        401,
        'invalid_client',
        7000215,
        `Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '${application.clientId}'.`,
      ]
    if (application.secretExpired)
      return [
        401,
        'invalid_client',
        7000222,
        `The provided client secret keys for app '${application.clientId}' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds.`,
      ]
    return undefined
  }

  const refuseAssertion = async (form: URLSearchParams): Promise<Refusal | undefined> => {
    const assertion = form.get('client_assertion') ?? ''
    if (form.get('client_assertion_type') !== jwtBearer || assertion === '')
      return [
        400,
        'invalid_request',
        900144,
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
      ]
    const { iss, sub, aud, exp } = decode(assertion) as {
      iss?: string
      sub?: string
      aud?: string | string[]
      exp?: number
    }
    const audiences = [aud ?? ''].flat()
    if (!application.federated.some(({ issuer: known }) => known === iss))
      return [
        401,
        'invalid_client',
        700211,
        `No matching federated identity record found for presented assertion issuer '${iss}'. Please note that the issuer is case sensitive.`,
      ]
    if (!application.federated.some((known) => audiences.includes(known.audience)))
      return [
        401,
        'invalid_client',
        700212,
        `No matching federated identity record found for presented assertion audience '${audiences.join(' ')}'.`,
      ]
    if (!application.federated.some((known) => known.subject === sub))
      return [
        401,
        'invalid_client',
        700213,
        `No matching federated identity record found for presented assertion subject '${sub}'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion.`,
      ]
    if ((exp ?? 0) <= Date.now() / 1000)
      return [
        401,
        'invalid_client',
        700024,
        `Client assertion is not within its valid time range. Current time: ${new Date().toISOString()}, expiry time of assertion ${new Date((exp ?? 0) * 1000).toISOString()}.`,
      ]
    const configuration = await getJson<{ jwks_uri: string }>(
      `${iss}/.well-known/openid-configuration`,
    )
    const { keys } = await getJson<{ keys: Signer['jwk'][] }>(configuration.jwks_uri)
    if (!isSignedBy(assertion, keys))
      return [
        401,
        'invalid_client',
        700027,
        'The certificate with identifier used to sign the client assertion is not registered on application. Client assertion contains an invalid signature.',
      ]
    return undefined
  }

  const machine = await startFakeCloud<'machine'>({
    endpointOf: () => 'machine',
    handle: (_machine, request, response) => {
      const { pathname, searchParams } = new URL(request.path, 'http://machine')
      const isAppService = pathname === '/msi/token'
      if (
        request.method !== 'GET' ||
        (!isAppService && pathname !== '/metadata/identity/oauth2/token')
      )
        return answer(response, 404)
      const wrong = isAppService
        ? request.headers['x-identity-header'] !== identityHeader &&
          'The required header was not found'
        : request.headers['metadata'] !== 'true' && 'Required metadata header not specified'
      if (wrong) return machineError(response, isAppService, wrong)
      const version = isAppService ? '2019-08-01' : '2018-02-01'
      if (searchParams.get('api-version') !== version)
        return machineError(
          response,
          isAppService,
          'Required query variable api-version is missing',
        )
      const clientId = searchParams.get('client_id')
      if (clientId === null && azure.assigned.length > 1)
        return machineError(
          response,
          isAppService,
          'Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request',
        )
      const who = azure.assigned.find(
        (candidate) => clientId === null || candidate.clientId === clientId,
      )
      if (who === undefined)
        return machineError(
          response,
          isAppService,
          isAppService
            ? 'No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.'
            : 'Identity not found',
        )
      const resource = searchParams.get('resource') ?? ''
      if (!azure.resources.has(resource))
        return answerJson(response, 400, {
          error: 'invalid_resource',
          error_description: `AADSTS500011: The resource principal named ${resource} was not found in the tenant named Contoso. Trace ID: ${randomUUID()}`,
        })
      const { token, seconds } = give(who, resource)
      answerJson(response, 200, {
        access_token: token,
        client_id: who.clientId,
        expires_in: String(seconds),
        expires_on: String(Math.floor(Date.now() / 1000) + seconds),
        resource,
        token_type: 'Bearer',
      })
    },
  })

  const azure: Azure = {
    tenantId,
    application,
    issuer,
    entra,
    machine,
    identityHeader,
    assigned: [principal([])],
    resources: new Set(['https://containerregistry.azure.net', 'https://management.azure.com']),
    life: 86_400,
    fail: (which, failure) =>
      which === 'entra' ? entra.fail(which, failure) : machine.fail(which, failure),
    verify: (token) => {
      const claims = decode(token)
      const isGood =
        isSignedBy(token, [entraSigner.jwk]) && Number(claims['exp']) > Date.now() / 1000
      return isGood ? claims : undefined
    },
    tokens: () => given,
    stop: async () => {
      await Promise.all([issuer.stop(), entra.stop(), machine.stop()])
    },
  }
  return azure
}

function principal(federated: Principal['federated']): Principal {
  return {
    clientId: randomUUID(),
    objectId: randomUUID(),
    secret: `canary~${randomBytes(20).toString('hex')}`,
    secretExpired: false,
    federated,
  }
}

type Refusal = readonly [status: number, error: string, code: number, text: string]

function refuse(response: ServerResponse, [status, error, code, text]: Refusal): void {
  const [trace, correlation] = [randomUUID(), randomUUID()]
  const timestamp = new Date().toISOString().replace('T', ' ').replace(/\..*/, 'Z')
  answerJson(response, status, {
    error,
    error_description: `AADSTS${code}: ${text} Trace ID: ${trace} Correlation ID: ${correlation} Timestamp: ${timestamp}`,
    error_codes: [code],
    timestamp,
    trace_id: trace,
    correlation_id: correlation,
    error_uri: `https://login.microsoftonline.com/error?code=${code}`,
  })
}

function machineError(response: ServerResponse, isAppService: boolean, text: string): void {
  if (isAppService)
    return answerJson(response, 400, {
      statusCode: 400,
      message: text,
      correlationId: randomUUID(),
    })
  answerJson(response, 400, { error: 'invalid_request', error_description: text })
}

async function getJson<Value>(url: string): Promise<Value> {
  const response = await fetch(url)
  return (await response.json()) as Value
}

/**
 * Azure Container Registry: everything is private to principals with a role; blobs are somewhere else.
 */
type RegistryEndpoint = 'exchange' | 'token' | 'registry'

export interface ContainerRegistry extends FakeCloud<RegistryEndpoint> {
  put(name: string, tag: string | undefined, image: Image): void
  /** Object ids with access to everything (default: all identities). */
  readonly readers: Set<string>
  /** Of refresh tokens and of access tokens, in seconds. */
  lives: { refresh: number; access: number }
  /** No access token given so far is good any more. */
  revoke(): void
  /** All tokens that were ever given. */
  tokens(): readonly string[]
}

type RegistryOptions = {
  readonly azure: Azure
  readonly storage: ObjectStore
  readonly tls?: KeyPair
}

export async function startContainerRegistry({
  azure,
  storage,
  tls,
}: RegistryOptions): Promise<ContainerRegistry> {
  const content = createContent()
  const given: string[] = []
  let generation = 0

  const sign = (claims: object, seconds: number): string => {
    const token = registrySigner.sign(
      { jti: randomUUID(), iss: 'Azure Container Registry', aud: server.host, ...claims },
      seconds,
    )
    given.push(token)
    return token
  }
  const verify = (token: string, type: string) => {
    const claims = decode(token)
    const isGood =
      isSignedBy(token, [registrySigner.jwk]) &&
      claims['grant_type'] === type &&
      claims['aud'] === server.host &&
      Number(claims['exp']) > Date.now() / 1000
    return isGood ? claims : undefined
  }

  const server = await startFakeCloud<RegistryEndpoint>({
    endpointOf: ({ path }) => kinds[new URL(path, 'http://registry').pathname] ?? 'registry',
    handle: (endpoint, ...exchanged) => handlers[endpoint](...exchanged),
    tls,
  })

  const exchange: Handler = ({ method, body }, response) => {
    const form = new URLSearchParams(body)
    if (method !== 'POST') return answer(response, 404)
    if (form.get('grant_type') !== 'access_token' || form.get('service') !== server.host)
      return fail(response, 400, 'UNSUPPORTED', 'invalid parameters')
    const claims = azure.verify(form.get('access_token') ?? '')
    const tenant = form.get('tenant')
    const isMeant = claims !== undefined && (tenant === null || tenant === claims['tid'])
    if (!isMeant || !known.has(String(claims['aud'])) || !maySee(String(claims['oid'])))
      return unauthorized(response)
    const { oid } = claims
    answerJson(response, 200, {
      refresh_token: sign({ grant_type: 'refresh_token', oid, tenant }, registry.lives.refresh),
    })
  }

  const maySee = (objectId: string) => registry.readers.has(objectId)

  /** GET wants Basic; the refresh token of an identity is posted. The answer does not say how long it is good for. */
  const giveToken: Handler = ({ method, body }, response) => {
    const form = new URLSearchParams(body)
    const claims = verify(form.get('refresh_token') ?? '', 'refresh_token')
    if (method !== 'POST' || form.get('grant_type') !== 'refresh_token')
      return unauthorized(response)
    if (form.get('service') !== server.host) return fail(response, 400, 'UNSUPPORTED', 'service')
    if (claims === undefined) return unauthorized(response)
    const [, name = '', actions = ''] =
      /^repository:([^:]+):(.+)$/.exec(form.get('scope') ?? '') ?? []
    const isGranted = maySee(String(claims['oid'])) && actions === 'pull'
    const access = isGranted ? [{ type: 'repository', name, actions: ['pull'] }] : []
    const token = sign({ grant_type: 'access_token', access, generation }, registry.lives.access)
    answerJson(response, 200, { access_token: token })
  }

  const serve: Handler = (request, response) => {
    response.setHeader('docker-distribution-api-version', 'registry/2.0')
    const { pathname } = new URL(request.path, 'http://registry')
    const name = nameIn(pathname)
    const [, token = ''] = /^Bearer (.+)$/.exec(request.headers.authorization ?? '') ?? []
    const claims = verify(token, 'access_token')
    const access = (claims?.['access'] ?? []) as readonly { name: string }[]
    const isRight = claims?.['generation'] === generation
    if (!isRight || (name !== undefined && !access.some((granted) => granted.name === name))) {
      const scope = name === undefined ? '' : `,scope="repository:${name}:pull"`
      const error = isRight ? ',error="insufficient_scope"' : ''
      response.setHeader(
        'www-authenticate',
        `Bearer realm="${server.url}/oauth2/token",service="${server.host}"${scope}${error}`,
      )
      return unauthorized(response)
    }
    if (pathname === '/v2/') return answerJson(response, 200, {})
    if (name === undefined) return fail(response, 404, 'NAME_UNKNOWN', 'repository name not known')
    serveContent(content, request, response, {
      name,
      sendBlob: (bytes) => answer(response, 307, { location: storage.sign(bytes) }),
    })
  }

  const handlers: Readonly<Record<RegistryEndpoint, Handler>> = {
    exchange,
    token: giveToken,
    registry: serve,
  }
  const principals = [azure.application, ...azure.assigned]
  const registry: ContainerRegistry = {
    ...server,
    put: content.put,
    readers: new Set(principals.map(({ objectId }) => objectId)),
    lives: { refresh: 10_800, access: 4500 },
    revoke: () => {
      generation += 1
    },
    tokens: () => given,
  }
  return registry
}

const kinds: Readonly<Record<string, RegistryEndpoint>> = {
  '/oauth2/exchange': 'exchange',
  '/oauth2/token': 'token',
}
const known = new Set(['https://containerregistry.azure.net', 'https://management.azure.com'])

function fail(response: ServerResponse, status: number, code: string, message: string): void {
  answerJson(response, status, { errors: [{ code, message }] })
}

function unauthorized(response: ServerResponse): void {
  const message =
    'authentication required, visit https://aka.ms/acr/authorization for more information.'
  fail(response, 401, 'UNAUTHORIZED', message)
}
