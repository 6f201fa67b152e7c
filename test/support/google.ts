import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import type { AwsMachine } from './aws-machine.ts'
import { basicOf } from './canaries.ts'
import type { KeyPair } from './certificates.ts'
import { type ClusterIssuer, parseJwt, startClusterIssuer } from './cluster-issuer.ts'
import { type FakeCloud, startFakeCloud } from './fake-cloud.ts'
import { answer, answerJson, type Handler, type Recorded } from './fake-server.ts'
import { account, cloudPlatform, createAccounts, scopesKnown } from './google-accounts.ts'
import {
  accessTokenType,
  audience,
  awsType,
  jwtType,
  openPolicy,
  type Policy,
  pool,
  wrongIn,
} from './google-provider.ts'

/** How long tokens are good for: time, and uses, after which they are revoked without a word. */
export type TokenLife = { readonly seconds: number; readonly requests?: number }

/** The tokens that one issuer has given out. */
export interface Tokens {
  /** `most`: maximum lifetime in seconds. */
  issue(holder: string, most?: number): { readonly token: string; readonly seconds: number }
  /** Who holds it, if it is good for one more use. */
  spend(token: string): string | undefined
  live(life: TokenLife): void
  /** All that were ever given out. */
  all(): readonly string[]
}

export function createTokens(prefix: string, initial: TokenLife): Tokens {
  const known = new Map<string, { holder: string; until: number; left: number }>()
  let life = initial
  return {
    issue: (holder, most = Number.POSITIVE_INFINITY) => {
      const token = `${prefix}${randomBytes(512).toString('base64url')}`
      const { requests = Number.POSITIVE_INFINITY } = life
      const seconds = Math.min(life.seconds, most)
      known.set(token, { holder, until: Date.now() + seconds * 1000, left: requests })
      return { token, seconds }
    },
    spend: (token) => {
      const found = known.get(token)
      if (found === undefined || found.until <= Date.now() || found.left <= 0) return undefined
      found.left -= 1
      return found.holder
    },
    live: (next) => {
      life = next
    },
    all: () => [...known.keys()],
  }
}

export type GoogleOptions = {
  /**
   * `direct`: the pool's principal itself may read. `impersonation`: it may only act for a service
   * account, whose tokens alone are good.
   */
  readonly grant: 'direct' | 'impersonation'
  readonly life?: TokenLife
  /** For the Google host names under which it is reached. */
  readonly tls?: KeyPair
  /** Whose role's signatures the provider takes instead of the cluster's tokens. */
  readonly aws?: AwsMachine
}

export type Endpoint = 'sts' | 'impersonation' | 'metadata' | 'oauth'

/**
 * The services of Google's that give out access tokens: the security token service, the credentials
 * of service accounts, OAuth for keys and users, and the metadata server; and the cluster, which signs
 * the tokens of its pods.
 */
export interface Google
  extends Pick<FakeCloud<Endpoint>, 'url' | 'port' | 'requests' | 'count' | 'delay' | 'fail'> {
  /** What registries accept. */
  readonly accessTokens: Tokens
  /** For $GCE_METADATA_HOST. */
  readonly metadataHost: string
  readonly cluster: ClusterIssuer
  /**
   * Writes a pod's projected token and a credential configuration for it, as `gcloud iam
   * workload-identity-pools create-cred-config --credential-source-file` does. The latter's path.
   * `changes`: fields that are otherwise.
   */
  configure(directory: string, changes?: Readonly<Record<string, unknown>>): Promise<string>
  /** A token as the kubelet projects it. */
  projectedToken(claims?: Parameters<ClusterIssuer['sign']>[0] | object): string
  /** A key of the service account's, as `gcloud iam service-accounts keys create` writes it. */
  createKey(): Readonly<Record<string, string>>
  /** All keys made so far are deleted. */
  deleteKeys(): void
  /** What `gcloud auth application-default login` writes. */
  logIn(): Readonly<Record<string, string>>
  /** All logins so far are revoked. */
  revokeLogins(): void
  set(policy: Partial<Policy>): void
  /** The server stops; the cluster continues. */
  die(): Promise<void>
  revive(): Promise<void>
  stop(): Promise<void>
}

const subject = 'system:serviceaccount:berth:berth'
export const principal = `principal:${pool}/subject/${subject}`
const impersonationPath = /^\/v1\/projects\/-\/serviceAccounts\/([^/:]+):generateAccessToken$/

export async function startGoogle({
  grant,
  life = { seconds: 3600 },
  tls,
  aws,
}: GoogleOptions): Promise<Google> {
  const cluster = await startClusterIssuer()
  const accessTokens = createTokens('ya29.c.', life)
  const federated = grant === 'direct' ? accessTokens : createTokens('ya29.d.', life)
  /** Of tokens that are good for those alone. */
  const scopes = new Map<string, string>()
  const accounts = createAccounts()
  let policy = openPolicy

  const server = await startFakeCloud<Endpoint>({
    endpointOf: ({ method, path }) => endpointOf(method, pathOf(path)),
    handle: (endpoint, ...exchanged) => handlers[endpoint](...exchanged),
    tls,
  })

  /** OAuth 2.0 token exchange (RFC 8693). */
  const exchange = async ({ body }: Recorded, response: ServerResponse): Promise<void> => {
    const form = new URLSearchParams(body)
    const scope = form.get('scope') ?? ''
    const [error, error_description] = (await wrongIn(form, { cluster, aws, policy })) ?? []
    if (error !== undefined) return answerJson(response, 400, { error, error_description })
    const claims = parseJwt(form.get('subject_token') ?? '')?.claims
    const holder = `principal:${pool}/subject/${claims?.sub ?? 'arn:aws:sts::1:assumed-role/puller/i-1'}`
    const { token, seconds } = federated.issue(holder)
    scopes.set(token, scope)
    answerJson(response, 200, {
      access_token: token,
      issued_token_type: accessTokenType,
      token_type: 'Bearer',
      expires_in: seconds,
    })
  }

  const refreshFederated = ({ headers, body }: Recorded, response: ServerResponse): void => {
    const form = new URLSearchParams(body)
    const isClient = headers.authorization === `Basic ${basicOf('client', 'client-secret')}`
    const known = form.get('grant_type') === 'refresh_token' && isClient
    if (!known || !accounts.isLoggedIn(form))
      return answerJson(response, 400, { error: 'invalid_grant', error_description: 'Bad Request' })
    const { token, seconds } = accessTokens.issue('principal:a user of a workforce')
    answerJson(response, 200, { access_token: token, expires_in: seconds, token_type: 'Bearer' })
  }

  const impersonate = (
    { headers, body }: Recorded,
    response: ServerResponse,
    path: string,
  ): void => {
    const bearer = headers.authorization?.replace(/^Bearer /, '') ?? ''
    const holder = federated.spend(bearer) ?? accessTokens.spend(bearer)
    if (holder === undefined)
      return answerGoogle(response, 401, 'UNAUTHENTICATED', {
        message: 'Request had invalid authentication credentials.',
      })
    if ((scopes.get(bearer) ?? cloudPlatform) !== cloudPlatform)
      return answerGoogle(response, 403, 'PERMISSION_DENIED', {
        message: 'Request had insufficient authentication scopes.',
        reason: 'ACCESS_TOKEN_SCOPE_INSUFFICIENT',
      })
    const email = impersonationPath.exec(path)?.[1]
    if (email !== account)
      return answerGoogle(response, 404, 'NOT_FOUND', {
        message: `Not found; Gaia id not found for email ${email}`,
      })
    if (!policy.impersonators.test(holder))
      return answerGoogle(response, 403, 'PERMISSION_DENIED', {
        message:
          "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).",
        reason: 'IAM_PERMISSION_DENIED',
      })
    const { scope = [], lifetime = '3600s' } = JSON.parse(body) as {
      scope?: readonly string[]
      lifetime?: string
    }
    if (scope.length === 0 || !scope.every((one) => scopesKnown.has(one)))
      return answerGoogle(response, 400, 'INVALID_ARGUMENT', { message: 'Invalid scope.' })
    const most = Number(/^(\d+)s$/.exec(lifetime)?.[1])
    if (!(most > 0 && most <= 3600))
      return answerGoogle(response, 400, 'INVALID_ARGUMENT', {
        message: 'The access token lifetime cannot exceed 3600 seconds.',
      })
    const { token, seconds } = accessTokens.issue(account, most)
    const expireTime = new Date(Date.now() + seconds * 1000).toISOString()
    answerJson(response, 200, { accessToken: token, expireTime })
  }

  const giveByOAuth = ({ body }: Recorded, response: ServerResponse): void => {
    const form = new URLSearchParams(body)
    const wrong = accounts.wrongIn(form)
    if (wrong !== undefined)
      return answerJson(response, 400, { error: 'invalid_grant', error_description: wrong })
    const { token, seconds } = accessTokens.issue(account)
    const scope = parseJwt(form.get('assertion') ?? '')?.claims.scope
    if (scope !== undefined) scopes.set(token, scope)
    answerJson(response, 200, { access_token: token, expires_in: seconds, token_type: 'Bearer' })
  }

  const metadata = ({ headers, path }: Recorded, response: ServerResponse): void => {
    const flavor = { 'metadata-flavor': 'Google', server: 'Metadata Server for VM' }
    const isOwn = headers['metadata-flavor'] === 'Google' && !headers['x-forwarded-for']
    if (!isOwn) return answer(response, 403, flavor)
    const asked = path.replace(/^\/computeMetadata\/v1\//, '').replace(/\?.*/, '')
    if (asked === 'instance/service-accounts/default/token') {
      const { token, seconds } = accessTokens.issue(account)
      const body = { access_token: token, expires_in: seconds, token_type: 'Bearer' }
      const headersOfJson = { ...flavor, 'content-type': 'application/json' }
      return answer(response, 200, headersOfJson, JSON.stringify(body))
    }
    const texts: Readonly<Record<string, string>> = {
      'instance/service-accounts/default/email': account,
      'universe/universe-domain': 'googleapis.com',
      'project/project-id': 'my-project',
      instance: '',
    }
    const text = texts[asked]
    answer(
      response,
      text === undefined ? 404 : 200,
      { ...flavor, 'content-type': 'application/text' },
      text,
    )
  }

  const handlers: Readonly<Record<Endpoint, Handler>> = {
    sts: (request, response) =>
      pathOf(request.path) === '/v1/token'
        ? exchange(request, response)
        : refreshFederated(request, response),
    impersonation: (request, response) => impersonate(request, response, pathOf(request.path)),
    oauth: giveByOAuth,
    metadata,
  }

  const projectedToken: Google['projectedToken'] = (claims = {}) =>
    cluster.sign({ aud: [`https:${audience}`], sub: subject, ...claims })

  return {
    ...server,
    accessTokens,
    metadataHost: server.host,
    cluster,
    projectedToken,
    createKey: accounts.createKey,
    deleteKeys: accounts.deleteKeys,
    logIn: () => accounts.logIn(server.url),
    revokeLogins: accounts.revokeLogins,
    configure: async (directory, changes = {}) => {
      const file = join(directory, 'token')
      const configuration = {
        universe_domain: 'googleapis.com',
        type: 'external_account',
        audience,
        subject_token_type: aws === undefined ? jwtType : awsType,
        token_url: `${server.url}/v1/token`,
        credential_source: aws?.credentialSource ?? { file, format: { type: 'text' } },
        ...(grant === 'direct'
          ? { token_info_url: `${server.url}/v1/introspect` }
          : { service_account_impersonation_url: impersonationUrl(server.url) }),
        ...changes,
      }
      // As the kubelet does not, and people do: with a newline at the end.
      await writeFile(file, `${projectedToken()}\n`)
      const path = join(directory, 'credential-configuration.json')
      await writeFile(path, JSON.stringify(configuration, undefined, 2))
      return path
    },
    set: (changed) => {
      policy = { ...policy, ...changed }
    },
    die: server.stop,
    revive: server.start,
    stop: async () => {
      await Promise.all([server.stop(), cluster.stop()])
    },
  }
}

export function impersonationUrl(origin: string, email = account): string {
  return `${origin}/v1/projects/-/serviceAccounts/${email}:generateAccessToken`
}

function endpointOf(method: string, path: string): Endpoint | undefined {
  if (path.startsWith('/computeMetadata/')) return 'metadata'
  if (method !== 'POST') return undefined
  if (path === '/v1/token' || path === '/v1/oauthtoken') return 'sts'
  if (path === '/token') return 'oauth'
  return impersonationPath.test(path) ? 'impersonation' : undefined
}

function pathOf(target: string): string {
  return target.split('?')[0] ?? ''
}

/** An error as Google's APIs write it (AIP-193). */
function answerGoogle(
  response: ServerResponse,
  code: number,
  status: string,
  { message, reason }: { readonly message: string; readonly reason?: string },
): void {
  const details = reason && [
    { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason, domain: 'iam.googleapis.com' },
  ]
  answerJson(response, code, { error: { code, message, status, ...(details && { details }) } })
}
