import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import type { KeyPair } from './certificates.ts'
import { type Failure, type FakeCloud, startFakeCloud } from './fake-cloud.ts'
import { answer, type Recorded } from './fake-server.ts'
import { type Claims, createSigner, decode, isSignedBy } from './jwt.ts'
import { type KnownKey, type Refusal, verifySignature } from './signature-v4.ts'

export const account = '111122223333'
export const region = 'eu-west-1'
export const role = `arn:aws:iam::${account}:role/berth`
/** Who one is that has assumed the role. */
export const assumed = `arn:aws:sts::${account}:assumed-role/berth`
export const subject = 'system:serviceaccount:berth:berth'
export const issuerHost = 'oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF'

/** A call to one of AWS's services, or to an agent on the node. */
export type Action =
  | 'ecr:GetAuthorizationToken'
  | 'ecr-public:GetAuthorizationToken'
  | 'sts:AssumeRole'
  | 'sts:AssumeRoleWithWebIdentity'
  | 'sts:GetCallerIdentity'
  | 'eks-auth:AssumeRoleForPodIdentity'
  | 'imds:token'
  | 'imds:credentials'

type Environment = Readonly<Record<string, string>>

/** No answer, an end without one, or the page of something in between. */
type Fault = 'hang' | 'break' | 'page'

/** A registry's password as ECR sees it. */
export type Password = { readonly holder: string; readonly until: number }

/**
 * AWS's services behind ECR: ECR's and ECR Public's own API, the security token service, and the two
 * agents that give out credentials on a node. Signatures and tokens are verified for real.
 */
export interface Aws
  extends Pick<
    FakeCloud<Action>,
    'url' | 'host' | 'port' | 'requests' | 'countRequests' | 'secrets' | 'stop' | 'start'
  > {
  /** The services are found by these, and no real one. */
  readonly endpoints: Environment
  /** Long-lived keys of a user, as the variables that hold them. */
  user(): Environment
  /** Variables for IRSA; the token is written into the directory. `claims` change the token. */
  irsa(directory: string, claims?: Readonly<Record<string, unknown>>): Promise<Environment>
  podIdentity(directory: string): Promise<Environment>
  readonly instanceMetadata: Environment
  /** A service account's token for `audience`. */
  serviceAccountToken(claims?: Readonly<Record<string, unknown>>): string
  /** This is how the call ends from now on; undefined: well again. */
  fail(action: Action, failure: Refusal | Fault | undefined): void
  /** Error of AWS's clock, in milliseconds. */
  skew(milliseconds: number): void
  /** How long new passwords are good for, in seconds. */
  passwordLife(seconds: number): void
  password(text: string): Password | undefined
  /** All passwords so far have expired. */
  expirePasswords(): void
}

export async function startAws(tls?: KeyPair): Promise<Aws> {
  const issuer = `https://${issuerHost}`
  const cluster = createSigner()
  const verify = (token: string): Claims | undefined =>
    isSignedBy(token, [cluster.jwk]) ? decode(token) : undefined
  const keys = new Map<string, KnownKey>()
  const passwords = new Map<string, Password>()
  const imdsTokens = new Set<string>()
  let clock = 0
  let life = 12 * 3600
  const now = () => Date.now() + clock

  const secret = (bytes: number, prefix = '') =>
    server.keepSecret(prefix + randomBytes(bytes).toString('base64'))
  /** Not a secret, but not to be logged either. */
  const keyId = (prefix: string) =>
    server.keepSecret(prefix + randomBytes(8).toString('hex').toUpperCase())
  const session = (arn: string) => {
    const AccessKeyId = keyId('ASIA')
    const SecretAccessKey = secret(30)
    const Token = secret(300, 'IQoJb3JpZ2luX2Vj')
    const until = now() + 3600_000
    keys.set(AccessKeyId, { secret: SecretAccessKey, sessionToken: Token, until, arn })
    return { AccessKeyId, SecretAccessKey, Token, Expiration: new Date(until).toISOString() }
  }

  const assumedRole = (operation: string, arn: string) => {
    const { AccessKeyId, SecretAccessKey, Token, Expiration } = session(arn)
    const credentials = `<Credentials><AccessKeyId>${AccessKeyId}</AccessKeyId><SecretAccessKey>${SecretAccessKey}</SecretAccessKey><SessionToken>${Token}</SessionToken><Expiration>${Expiration}</Expiration></Credentials>`
    const user = `<AssumedRoleUser><Arn>${arn}</Arn><AssumedRoleId>AROA:x</AssumedRoleId></AssumedRoleUser>`
    return `<${operation}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><${operation}Result>${user}${credentials}</${operation}Result></${operation}Response>`
  }

  const handle = (action: Action, request: Recorded, response: ServerResponse): void => {
    const outcome = serve[action](request)
    if (typeof outcome === 'string')
      return answer(
        response,
        200,
        { 'content-type': contentTypes[action] ?? 'text/plain' },
        outcome,
      )
    const { status, headers, body } = styles[action](outcome)
    answer(response, status, headers, body)
  }
  const server = await startFakeCloud<Action>({
    endpointOf: actionOf,
    handle,
    prepare: (response) => void response.setHeader('date', new Date(now()).toUTCString()),
    tls,
  })

  const signed = (request: Recorded, service: string) =>
    verifySignature(request, { service, now, find: (id) => keys.get(id) })

  const newPassword = (holder: string) => {
    const password = secret(600, 'eyJwYXlsb2FkIjoi')
    const until = now() + life * 1000
    passwords.set(password, { holder, until })
    const authorizationToken = Buffer.from(`AWS:${password}`).toString('base64')
    server.keepSecret(authorizationToken)
    return { authorizationToken, expiresAt: until / 1000 }
  }

  const serve: Readonly<Record<Action, (request: Recorded) => string | Refusal>> = {
    'ecr:GetAuthorizationToken': (request) => {
      const caller = signed(request, 'ecr')
      if ('code' in caller) return caller
      const proxyEndpoint = `https://${account}.dkr.ecr.${region}.amazonaws.com`
      const authorizationData = [{ ...newPassword(caller.arn), proxyEndpoint }]
      return JSON.stringify({ authorizationData })
    },

    'ecr-public:GetAuthorizationToken': (request) => {
      const caller = signed(request, 'ecr-public')
      if ('code' in caller) return caller
      if (!request.headers.authorization?.includes('/us-east-1/'))
        return refusal(404, 'UnknownEndpoint', 'ECR Public is in us-east-1')
      return JSON.stringify({ authorizationData: newPassword(caller.arn) })
    },

    'sts:GetCallerIdentity': (request) => {
      const caller = signed(request, 'sts')
      if ('code' in caller) return caller
      const result = `<GetCallerIdentityResult><Arn>${caller.arn}</Arn><UserId>AROA:x</UserId><Account>${account}</Account></GetCallerIdentityResult>`
      return `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">${result}</GetCallerIdentityResponse>`
    },

    'sts:AssumeRole': (request) => {
      const caller = signed(request, 'sts')
      if ('code' in caller) return caller
      const form = new URLSearchParams(request.body)
      if (form.get('RoleArn') === role)
        return assumedRole('AssumeRole', `${assumed}/${form.get('RoleSessionName')}`)
      const message = `User: ${caller.arn} is not authorized to perform: sts:AssumeRole on resource: ${form.get('RoleArn')}`
      return refusal(403, 'AccessDenied', message)
    },

    'sts:AssumeRoleWithWebIdentity': ({ body }) => {
      const form = new URLSearchParams(body)
      const problem = problemWith(form)
      if (problem !== undefined) return problem
      const arn = `${assumed}/${form.get('RoleSessionName')}`
      return assumedRole('AssumeRoleWithWebIdentity', arn)
    },

    'eks-auth:AssumeRoleForPodIdentity': ({ headers }) => {
      const claims = verify(headers.authorization ?? '')
      if (claims?.['aud'] !== 'pods.eks.amazonaws.com')
        return refusal(400, 'InvalidTokenException', 'Token claims are not valid')
      return JSON.stringify({ ...session(`${assumed}/eks-cluster-pod`), AccountId: account })
    },

    'imds:token': ({ headers }) => {
      const seconds = Number(headers['x-aws-ec2-metadata-token-ttl-seconds'])
      if (!(seconds >= 1 && seconds <= 21_600)) return refusal(400, 'BadRequest', 'no TTL')
      const token = secret(40)
      imdsTokens.add(token)
      return token
    },

    'imds:credentials': ({ headers, path }) => {
      if (!imdsTokens.has(String(headers['x-aws-ec2-metadata-token'])))
        return refusal(401, 'Unauthorized', 'IMDSv2 only')
      if (path.endsWith('/security-credentials/')) return 'node-role'
      const Code = 'Success'
      const arn = `arn:aws:sts::${account}:assumed-role/node-role/i-0123456789abcdef0`
      return JSON.stringify({ Code, Type: 'AWS-HMAC', ...session(arn) })
    },
  }

  const problemWith = (form: URLSearchParams): Refusal | undefined => {
    const token = form.get('WebIdentityToken') ?? ''
    const { iss } = decode(token)
    const invalid = (message: string) => refusal(400, 'InvalidIdentityToken', message)
    if (iss === undefined) return invalid('The ID Token provided is not a valid JWT.')
    if (iss !== issuer) return invalid(`No OpenIDConnect provider found in your account for ${iss}`)
    const claims = verify(token)
    if (claims === undefined) return invalid("Couldn't verify the token's signature")
    if (![claims['aud']].flat().includes('sts.amazonaws.com'))
      return invalid('Incorrect token audience')
    const seconds = Math.floor(now() / 1000)
    if (Number(claims['exp']) <= seconds)
      return refusal(
        400,
        'ExpiredTokenException',
        `Token expired: current date/time ${seconds} must be before the expiration date/time ${claims['exp']}`,
      )
    if (claims['sub'] !== subject || form.get('RoleArn') !== role)
      return refusal(403, 'AccessDenied', 'Not authorized to perform sts:AssumeRoleWithWebIdentity')
    return undefined
  }

  const serviceAccountToken: Aws['serviceAccountToken'] = (claims) => {
    const token = cluster.sign(
      { iss: issuer, sub: subject, aud: ['sts.amazonaws.com'], ...claims },
      3600,
    )
    return server.keepSecret(token)
  }

  return {
    ...server,
    endpoints: {
      AWS_ENDPOINT_URL_ECR: server.url,
      AWS_ENDPOINT_URL_ECR_PUBLIC: server.url,
      AWS_ENDPOINT_URL_STS: server.url,
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_CONFIG_FILE: '/nonexistent/aws/config',
      AWS_SHARED_CREDENTIALS_FILE: '/nonexistent/aws/credentials',
      AWS_REGION: region,
    },
    user: () => {
      const id = keyId('AKIA')
      const arn = `arn:aws:iam::${account}:user/robot`
      const known = { secret: secret(30), until: Number.POSITIVE_INFINITY, arn }
      keys.set(id, known)
      return { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: known.secret }
    },
    irsa: async (directory, claims) => {
      const file = join(directory, 'irsa-token')
      await writeFile(file, serviceAccountToken(claims))
      return { AWS_WEB_IDENTITY_TOKEN_FILE: file, AWS_ROLE_ARN: role }
    },
    podIdentity: async (directory) => {
      const file = join(directory, 'eks-pod-identity-token')
      await writeFile(file, serviceAccountToken({ aud: 'pods.eks.amazonaws.com' }))
      return {
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `${server.url}/v1/credentials`,
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file,
      }
    },
    instanceMetadata: {
      AWS_EC2_METADATA_DISABLED: 'false',
      AWS_EC2_METADATA_SERVICE_ENDPOINT: server.url,
    },
    serviceAccountToken,
    fail: (action, failure) =>
      server.fail(action, typeof failure === 'object' ? styles[action](failure) : faultOf(failure)),
    skew: (milliseconds) => {
      clock = milliseconds
    },
    passwordLife: (seconds) => {
      life = seconds
    },
    password: (text) => passwords.get(text),
    expirePasswords: () => {
      for (const [text, known] of passwords) passwords.set(text, { ...known, until: 0 })
    },
  }
}

export function refusal(status: number, code: string, message: string): Refusal {
  return { status, code, message }
}

function actionOf({ method, path, headers, body }: Recorded): Action | undefined {
  if (path === '/v1/credentials') return 'eks-auth:AssumeRoleForPodIdentity'
  if (method === 'PUT' && path === '/latest/api/token') return 'imds:token'
  if (path.startsWith('/latest/meta-data/iam/security-credentials/')) return 'imds:credentials'
  const operation = headers['x-amz-target'] ?? new URLSearchParams(body).get('Action')
  switch (operation) {
    case 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken':
      return 'ecr:GetAuthorizationToken'
    case 'SpencerFrontendService.GetAuthorizationToken':
      return 'ecr-public:GetAuthorizationToken'
    case 'AssumeRole':
      return 'sts:AssumeRole'
    case 'AssumeRoleWithWebIdentity':
      return 'sts:AssumeRoleWithWebIdentity'
    case 'GetCallerIdentity':
      return 'sts:GetCallerIdentity'
    default:
      return undefined
  }
}

function faultOf(fault: Fault | undefined): Failure | undefined {
  if (fault !== 'page') return fault
  return { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' }
}

type Style = (refusal: Refusal) => {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** AWS JSON 1.1. */
const asJson: Style = ({ status, code, message }) => ({
  status,
  headers: { 'content-type': 'application/x-amz-json-1.1' },
  body: JSON.stringify({ __type: code, Message: message }),
})

/** The query protocol. */
const asXml: Style = ({ status, code, message }) => ({
  status,
  headers: { 'content-type': 'text/xml' },
  body: `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error><RequestId>x</RequestId></ErrorResponse>`,
})

const asText: Style = ({ status, message }) => ({ status, headers: {}, body: message })

const styles: Readonly<Record<Action, Style>> = {
  'ecr:GetAuthorizationToken': asJson,
  'ecr-public:GetAuthorizationToken': asJson,
  'sts:AssumeRole': asXml,
  'sts:AssumeRoleWithWebIdentity': asXml,
  'sts:GetCallerIdentity': asXml,
  'eks-auth:AssumeRoleForPodIdentity': ({ status, code, message }) => ({
    status,
    headers: {},
    body: JSON.stringify({ Code: code, Message: message }),
  }),
  'imds:token': asText,
  'imds:credentials': asText,
}

const contentTypes: Partial<Readonly<Record<Action, string>>> = {
  'ecr:GetAuthorizationToken': 'application/x-amz-json-1.1',
  'ecr-public:GetAuthorizationToken': 'application/x-amz-json-1.1',
  'sts:AssumeRole': 'text/xml',
  'sts:AssumeRoleWithWebIdentity': 'text/xml',
  'sts:GetCallerIdentity': 'text/xml',
}

/**
 * The AWS SDK reads the environment itself, so it is changed temporarily; all of its own variables
 * that are not given are removed. The returned function restores it.
 */
export function setAwsEnvironment(variables: Environment): () => void {
  const before = { ...process.env }
  for (const name of Object.keys(process.env))
    if (/^AWS_|_PROXY$/i.test(name)) delete process.env[name]
  Object.assign(process.env, variables)
  return () => {
    for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name]
    Object.assign(process.env, before)
  }
}
