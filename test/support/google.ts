import { createSign, createVerify, generateKeyPairSync, randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import {
  answer,
  answerJson,
  type FakeServer,
  type Recorded,
  startFakeServer,
} from './fake-server.ts'

/** How long tokens are good for: time, and uses, after which they are revoked without a word. */
export type TokenLife = { readonly seconds: number; readonly requests?: number }

/** The tokens that one issuer has given out. */
export interface Tokens {
  issue(holder: string): { readonly token: string; readonly seconds: number }
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
    issue: (holder) => {
      const token = `${prefix}${randomBytes(512).toString('base64url')}`
      const { seconds, requests = Number.POSITIVE_INFINITY } = life
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
}

/**
 * The three services of Google's that give out access tokens: the security token service, the
 * credentials of service accounts, and the metadata server; and the cluster, which signs the tokens of
 * its pods.
 */
export interface Google extends Pick<FakeServer, 'requests' | 'count' | 'stop'> {
  /** What registries accept. */
  readonly accessTokens: Tokens
  /** For $GCE_METADATA_HOST. */
  readonly metadataHost: string
  /**
   * Writes a pod's projected token and a credential configuration for it, as `gcloud iam
   * workload-identity-pools create-cred-config --credential-source-file` does. The latter's path.
   */
  configure(directory: string): Promise<string>
}

const pool =
  '//iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/clusters'
const audience = `${pool}/providers/cluster`
const subject = 'system:serviceaccount:berth:berth'
const account = 'berth@my-project.iam.gserviceaccount.com'
const cloudPlatform = 'https://www.googleapis.com/auth/cloud-platform'
const jwtType = 'urn:ietf:params:oauth:token-type:jwt'
const impersonationPath = `/v1/projects/-/serviceAccounts/${account}:generateAccessToken`

export async function startGoogle({
  grant,
  life = { seconds: 3600 },
}: GoogleOptions): Promise<Google> {
  const cluster = createCluster()
  const accessTokens = createTokens('ya29.c.', life)
  const federated = grant === 'direct' ? accessTokens : createTokens('ya29.d.', life)

  const server = await startFakeServer((request, response) => {
    const path = request.path.split('?')[0]
    if (request.method === 'POST' && path === '/v1/token') return exchange(request, response)
    if (request.method === 'POST' && path === impersonationPath)
      return impersonate(request, response)
    if (path?.startsWith('/computeMetadata/')) return metadata(request, response)
    answerJson(response, 404, { error: { code: 404, status: 'NOT_FOUND' } })
  })

  /** OAuth 2.0 token exchange (RFC 8693). */
  const exchange = ({ body }: Recorded, response: ServerResponse): void => {
    const form = new URLSearchParams(body)
    const wrong = [
      form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:token-exchange' && 'grant_type',
      form.get('requested_token_type') !== 'urn:ietf:params:oauth:token-type:access_token' &&
        'requested_token_type',
      form.get('audience') !== audience && 'audience',
      form.get('subject_token_type') !== jwtType && 'subject_token_type',
      !form.get('scope')?.startsWith(cloudPlatform) && 'scope',
      !cluster.verify(form.get('subject_token') ?? '') && 'subject_token',
    ].filter(Boolean)
    if (wrong.length > 0) {
      const error_description = `The value of ${wrong.join(', ')} is invalid.`
      return answerJson(response, 400, { error: 'invalid_grant', error_description })
    }
    const { token, seconds } = federated.issue(`principal:${pool}/subject/${subject}`)
    answerJson(response, 200, {
      access_token: token,
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: seconds,
    })
  }

  const impersonate = ({ headers, body }: Recorded, response: ServerResponse): void => {
    const bearer = headers.authorization?.replace(/^Bearer /, '') ?? ''
    const { scope } = JSON.parse(body) as { scope?: readonly string[] }
    if (federated.spend(bearer) === undefined || scope === undefined)
      return answerJson(response, 403, { error: { code: 403, status: 'PERMISSION_DENIED' } })
    const { token, seconds } = accessTokens.issue(account)
    const expireTime = new Date(Date.now() + seconds * 1000).toISOString()
    answerJson(response, 200, { accessToken: token, expireTime })
  }

  const metadata = ({ headers, path }: Recorded, response: ServerResponse): void => {
    const flavor = { 'metadata-flavor': 'Google', server: 'Metadata Server for VM' }
    if (headers['metadata-flavor'] !== 'Google') return answer(response, 403, flavor)
    const asked = path.replace(/^\/computeMetadata\/v1\//, '').replace(/\?.*/, '')
    if (asked === 'instance/service-accounts/default/token') {
      const { token, seconds } = accessTokens.issue(account)
      const body = { access_token: token, expires_in: seconds, token_type: 'Bearer' }
      return answer(
        response,
        200,
        { ...flavor, 'content-type': 'application/json' },
        JSON.stringify(body),
      )
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

  return {
    ...server,
    accessTokens,
    metadataHost: server.host,
    configure: async (directory) => {
      const file = join(directory, 'token')
      const configuration = {
        universe_domain: 'googleapis.com',
        type: 'external_account',
        audience,
        subject_token_type: jwtType,
        token_url: `${server.url}/v1/token`,
        credential_source: { file, format: { type: 'text' } },
        ...(grant === 'direct'
          ? { token_info_url: `${server.url}/v1/introspect` }
          : { service_account_impersonation_url: server.url + impersonationPath }),
      }
      await writeFile(file, cluster.projectedToken())
      await writeFile(
        join(directory, 'credential-configuration.json'),
        JSON.stringify(configuration, undefined, 2),
      )
      return join(directory, 'credential-configuration.json')
    },
  }
}

/** The API server as an issuer of service account tokens, and whoever knows its public key. */
function createCluster() {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = {
    iss: 'https://kubernetes.default.svc.cluster.local',
    // The audience of the token has the scheme that the audience of the exchange lacks.
    aud: [`https:${audience}`],
    sub: subject,
  }

  return {
    projectedToken: (): string => {
      const exp = Math.floor(Date.now() / 1000) + 3600
      const signed = `${encode({ alg: 'RS256', kid: 'test' })}.${encode({ ...claims, exp })}`
      return `${signed}.${createSign('RSA-SHA256').update(signed).sign(privateKey, 'base64url')}`
    },
    verify: (token: string): boolean => {
      const [header = '', payload = '', signature = ''] = token.split('.')
      const verifier = createVerify('RSA-SHA256').update(`${header}.${payload}`)
      if (!verifier.verify(publicKey, signature, 'base64url')) return false
      const { aud, exp } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as {
        aud: readonly string[]
        exp: number
      }
      return aud[0] === claims.aud[0] && exp > Date.now() / 1000
    },
  }
}
