import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { loadConfig } from '../../../src/config/config.ts'
import { createAwsSource } from '../../../src/credentials/aws/aws.ts'
import type { CredentialSource } from '../../../src/credentials/credential.ts'
import { CredentialError } from '../../../src/credentials/credential-error.ts'
import { keepFresh } from '../../../src/credentials/keep-fresh.ts'
import { createOutbound } from '../../../src/outbound/outbound.ts'
import { redact } from '../../../src/telemetry/telemetry.ts'
import {
  type Aws,
  assumed,
  issuerHost,
  refusal,
  region,
  role,
  setAwsEnvironment,
  startAws,
  subject,
} from '../../support/aws.ts'
import { createCanaries } from '../../support/canaries.ts'
import { createAuthority } from '../../support/certificates.ts'
import { startConnectProxy } from '../../support/connect-proxy.ts'
import { tellingTelemetry } from '../../support/remotes.ts'

const other = '444455556666'
const host = `${other}.dkr.ecr.${region}.amazonaws.com`
const canaries = createCanaries()
const { telemetry, lines } = tellingTelemetry()
const told: string[] = []

let directory: string
let aws: Aws
let restore: () => void

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'berth-aws-'))
})
after(async () => {
  await rm(directory, { recursive: true, force: true })
  await canaries.assertUnseen({ texts: [...lines, ...told, await telemetry.metrics.text()] })
})
beforeEach(async () => {
  aws = await startAws()
  restore = () => {}
})
afterEach(async () => {
  restore()
  for (const secret of aws.secrets()) canaries.add(secret)
  await aws.stop()
})

type Options = Partial<Parameters<typeof createAwsSource>[0]>

/** A source in this environment, which is the process's own until the end of the test. */
function open(variables: Readonly<Record<string, string>>, options: Options = {}) {
  const environment = { ...aws.endpoints, ...variables }
  restore()
  restore = setAwsEnvironment(environment)
  const { ambient } = loadConfig({ flags: {}, set: [], environment })
  return createAwsSource({
    host,
    ambient: ambient.aws,
    outbound: createOutbound(ambient),
    ...options,
  })
}

/** How it fails: the message, as whoever waits for it is told, and the advice. */
async function failureOf(source: CredentialSource): Promise<string> {
  const error = await source.fetch().then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof CredentialError, String(error))
  const credentials = keepFresh(
    { ...source, fetch: () => Promise.reject(error) },
    { upstream: 'up', telemetry },
  )
  await assert.rejects(credentials.current())
  told.push(credentials.problem() ?? '', error.advice ?? '', source.identity(), source.source())
  credentials.close()
  assert.ok(error.advice, `no advice with: ${error.message}`)
  assert.equal(redact(error.advice), error.advice, 'redaction must not change the advice')
  return `${error.message}\n${error.advice}`
}

async function assertPassword(source: CredentialSource): Promise<void> {
  const { credential, lifetime } = await source.fetch()
  assert.ok(credential.kind === 'password')
  assert.equal(credential.username, 'AWS')
  assert.ok(aws.password(credential.password), 'it is one of those that were given out')
  assert.ok(Math.abs((lifetime ?? 0) - 12 * 3600_000) < 60_000, `${lifetime}`)
}

test("a user's keys in the environment are exchanged for a password that is valid for twelve hours", async () => {
  const source = open(aws.user())
  await assertPassword(source)
  assert.equal(source.identity(), 'arn:aws:iam::111122223333:user/robot')
  assert.match(source.source(), /^the environment variables AWS_ACCESS_KEY_ID/)
  assert.equal(aws.countRequests('ecr:GetAuthorizationToken'), 1)
})

test("a service account's token assumes its role, and is read again each time (IRSA)", async () => {
  const source = open(await aws.irsa(directory, { exp: 1 }))
  assert.equal(source.identity(), role)
  assert.match(await failureOf(source), /ExpiredToken/)
  await aws.irsa(directory)
  await assertPassword(source)
  assert.equal(source.identity(), assumed)
  assert.match(source.source(), /IRSA.*irsa-token, for the role arn:aws:iam::111122223333:role/)
})

test("EKS's agent returns the keys of a pod identity", async () => {
  const source = open(await aws.podIdentity(directory))
  await assertPassword(source)
  assert.equal(source.identity(), assumed)
  assert.match(source.source(), /^the agent at http:.*Pod Identity/)
})

test("an instance's role is requested from version 2 of the metadata service", async () => {
  const source = open(aws.instanceMetadata)
  await assertPassword(source)
  assert.equal(source.identity(), 'arn:aws:sts::111122223333:assumed-role/node-role')
  assert.match(source.source(), /instance metadata/)
  assert.equal(aws.countRequests('imds:token'), 1)
})

test('a profile is read from the configuration files, and a change takes effect immediately', async () => {
  const file = join(directory, 'config')
  await writeFile(file, '[profile team]\naws_access_key_id = A\naws_secret_access_key = B\n')
  const source = open({ AWS_CONFIG_FILE: file }, { profile: 'team' })
  assert.equal(source.identity(), 'the AWS profile team')
  assert.match(await failureOf(source), /UnrecognizedClient.*keys from the profile team/s)
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = aws.user()
  await writeFile(
    file,
    `[profile team]\naws_access_key_id = ${AWS_ACCESS_KEY_ID}\naws_secret_access_key = ${AWS_SECRET_ACCESS_KEY}\n`,
  )
  await assertPassword(source)
  assert.match(source.source(), /^the profile team /)
})

/** A file of AWS's configuration with this section. */
async function profileOf(lines: Readonly<Record<string, string>>, more = '') {
  const file = join(directory, 'profiles')
  const section = Object.entries(lines).map(([name, value]) => `${name} = ${value}`)
  await writeFile(file, `[profile team]\n${section.join('\n')}\n${more}`)
  return { AWS_CONFIG_FILE: file, AWS_PROFILE: 'team' }
}

test('a profile may assume a role, with the keys of another profile or a token', async () => {
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = aws.user()
  const base = `[profile base]\naws_access_key_id = ${AWS_ACCESS_KEY_ID}\naws_secret_access_key = ${AWS_SECRET_ACCESS_KEY}\n`
  const byKeys = open(await profileOf({ role_arn: role, source_profile: 'base' }, base))
  await assertPassword(byKeys)
  assert.equal(byKeys.identity(), assumed)
  assert.match(byKeys.source(), /^the profile team /)

  const { AWS_WEB_IDENTITY_TOKEN_FILE = '' } = await aws.irsa(directory)
  const token = { role_arn: role, web_identity_token_file: AWS_WEB_IDENTITY_TOKEN_FILE }
  const byToken = open(await profileOf(token))
  await assertPassword(byToken)
  assert.equal(byToken.identity(), assumed)

  const foreign = 'arn:aws:iam::111122223333:role/foreign'
  const refused = open(await profileOf({ role_arn: foreign, source_profile: 'base' }, base))
  assert.match(await failureOf(refused), /sts:AssumeRole on resource: .*foreign.*trust policy/s)
})

test('a profile may have a program that prints keys', async () => {
  const { AWS_ACCESS_KEY_ID: AccessKeyId, AWS_SECRET_ACCESS_KEY: SecretAccessKey } = aws.user()
  const file = join(directory, 'keys.json')
  await writeFile(file, JSON.stringify({ Version: 1, AccessKeyId, SecretAccessKey }))
  const source = open(await profileOf({ credential_process: `cat ${file}` }))
  await assertPassword(source)
  assert.match(source.source(), /^the profile team /)
})

test("a profile's program that fails: the advice contains the command that shows why", async () => {
  const secret = canaries.secret('argument')
  const source = open(await profileOf({ credential_process: `/bin/false --password ${secret}` }))
  const failure = await failureOf(source)
  assert.match(failure, /have no keys for the profile team/)
  assert.match(
    failure,
    /a credential_process that fails.*: aws sts get-caller-identity --profile team/s,
  )
})

test("a profile without keys is an error: the machine's identity is not used (INV 5)", async () => {
  const broken = await profileOf({ credential_process: '/bin/false' })
  for (const profile of ['team', 'misspelled']) {
    const source = open({ ...broken, ...aws.instanceMetadata }, { profile })
    const failure = await failureOf(source)
    assert.match(
      failure,
      new RegExp(`no keys for the profile ${profile}; Berth does not use the keys from`),
    )
    assert.match(failure, /instance metadata service.*aws sts get-caller-identity --profile/s)
  }
  assert.equal(aws.countRequests('ecr:GetAuthorizationToken'), 0)
})

test('a profile with an expired login: the error says so', async () => {
  const sso = { sso_account_id: '111122223333', sso_role_name: 'reader', sso_session: 'company' }
  const session =
    '[sso-session company]\nsso_region = eu-west-1\nsso_start_url = https://sso.example\n'
  const failure = await failureOf(open(await profileOf(sso, session)))
  assert.match(failure, /SSO session .*aws sso login.*get-caller-identity --profile team/s)
})

test('ECR Public is called in its only region, and its token is a password as well', async () => {
  const source = open(aws.user(), { host: 'public.ecr.aws' })
  await assertPassword(source)
  assert.equal(aws.countRequests('ecr-public:GetAuthorizationToken'), 1)
  assert.equal(aws.countRequests('ecr:GetAuthorizationToken'), 0)
  assert.match(source.advice?.('x/y') ?? '', /are public: check the name/)
})

test('a token from the kubelet assumes the role in the annotation of its service account', async () => {
  const annotations = { 'eks.amazonaws.com/role-arn': role }
  const token = aws.serviceAccountToken()
  const source = open({}, { workloadToken: { token, annotations } })
  assert.equal(source.identity(), role)
  await assertPassword(source)
  assert.match(source.source(), /service account's token from the kubelet, for the role arn/)
})

test('a token from the kubelet without a role is an error', async () => {
  const token = aws.serviceAccountToken()
  const source = open({}, { workloadToken: { token, annotations: {} } })
  const failure = await failureOf(source)
  assert.match(failure, /sub system:serviceaccount:berth:berth, .* has no role/)
  assert.match(failure, /kubectl annotate serviceaccount NAME eks.amazonaws.com\/role-arn=/)
})

test('a rejected token from the kubelet: the error contains its claims', async () => {
  const annotations = { 'eks.amazonaws.com/role-arn': role }
  const token = aws.serviceAccountToken({ sub: 'system:serviceaccount:apps:web' })
  const failure = await failureOf(open({}, { workloadToken: { token, annotations } }))
  assert.match(
    failure,
    /cannot assume the role .*\(sub system:serviceaccount:apps:web, .*AccessDenied/,
  )
  const opaque = await failureOf(open({}, { workloadToken: { token: 'opaque', annotations } }))
  assert.match(opaque, /\(sub missing, aud missing, iss missing\)/)
  assert.match(opaque, /not a valid JWT.*not a JSON Web Token of a service account/s)
  assert.doesNotMatch(opaque, /undefined|opaque/)
})

test('a host name without a region needs a configured region', async () => {
  const failure = await failureOf(open(aws.user(), { host: 'registry.example:5000' }))
  assert.match(failure, /registry.example:5000 does not contain the AWS region/)
  assert.match(failure, /upstreams\[\]\.credentials\.region/)
  await assertPassword(open(aws.user(), { host: 'registry.example:5000', region: 'eu-west-3' }))
  const signed = aws.requests.filter(({ headers }) => 'x-amz-target' in headers)
  assert.match(String(signed[0]?.headers.authorization), /\/eu-west-3\/ecr\//)
})

test('the advice names the actions, the repository, and its other account', async () => {
  const source = open(await aws.irsa(directory))
  await source.fetch()
  const advice = source.advice?.('team/app') ?? ''
  assert.match(advice, /ecr:BatchGetImage, ecr:GetDownloadUrlForLayer and ecr:BatchCheckLayer/)
  assert.match(
    source.advice?.('team/app', 'push') ?? '',
    /ecr:PutImage.*ContainerRegistryPowerUser/,
  )
  assert.match(source.advice?.('team/app', 'delete') ?? '', /ecr:BatchDeleteImage/)
  assert.match(advice, /arn:aws:ecr:eu-west-1:444455556666:repository\/team\/app/)
  assert.match(advice, /the registry belongs to account 444455556666, not to 111122223333/)
  assert.match(advice, /set-repository-policy --region eu-west-1 --registry-id 444455556666/)
  const own = open(await aws.irsa(directory), {
    host: `111122223333.dkr.ecr.${region}.amazonaws.com`,
  })
  await own.fetch()
  assert.doesNotMatch(own.advice?.('team/app') ?? '', /set-repository-policy/)
})

test('without an answer of STS, the exchange works and the identity stays general', async () => {
  aws.fail('sts:GetCallerIdentity', refusal(403, 'AccessDenied', 'no'))
  const source = open(aws.user())
  const { AWS_ACCESS_KEY_ID = '' } = process.env
  await assertPassword(source)
  assert.match(source.identity(), /AWS default provider chain/)
  assert.ok(!source.identity().includes(AWS_ACCESS_KEY_ID))
  aws.fail('sts:GetCallerIdentity', 'hang')
  const begun = performance.now()
  await assertPassword(source)
  assert.ok(performance.now() - begun < 30_000)
})

test("a wrong clock is corrected with AWS's time", async () => {
  aws.skew(15 * 60_000)
  const source = open(aws.user())
  const { credential } = await source.fetch()
  assert.equal(credential.kind, 'password')
  assert.equal(aws.countRequests('ecr:GetAuthorizationToken'), 2)
})

test('without keys, the error soon lists the sources that were tried', async () => {
  const begun = performance.now()
  const failure = await failureOf(open({}))
  assert.ok(performance.now() - begun < 30_000)
  for (const place of [
    /AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set/,
    /have no keys for the profile default/,
    /AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN \(IRSA\) are not both set/,
    /AWS_CONTAINER_CREDENTIALS_FULL_URI \(EKS Pod Identity\) is not set/,
    /instance metadata service returned no keys/,
    /annotate the service account with eks.amazonaws.com\/role-arn/,
  ])
    assert.match(failure, place)
  const profile = await failureOf(open(aws.user(), { profile: 'unknown' }))
  assert.match(profile, /have no keys for the profile unknown/)
  assert.match(profile, /aws sts get-caller-identity --profile unknown/)
})

test('a metadata service that does not answer times out within seconds', async () => {
  aws.fail('imds:token', 'hang')
  aws.fail('imds:credentials', 'hang')
  const begun = performance.now()
  assert.match(
    await failureOf(open(aws.instanceMetadata)),
    /instance metadata service returned no keys/,
  )
  assert.ok(performance.now() - begun < 30_000)
})

test('services that do not answer time out before the exchange does', async () => {
  aws.fail('ecr:GetAuthorizationToken', 'hang')
  aws.fail('sts:GetCallerIdentity', 'hang')
  const begun = performance.now()
  assert.match(await failureOf(open(aws.user())), /GetAuthorizationToken.*: no answer in time/)
  assert.ok(performance.now() - begun < 30_000)
  assert.equal(aws.countRequests('ecr:GetAuthorizationToken'), 2)
})

test('an answer of another server, and a broken connection, are reported as such', async () => {
  aws.fail('ecr:GetAuthorizationToken', 'page')
  assert.match(await failureOf(open(aws.user())), /does not come from AWS: check whether a proxy/)
  aws.fail('ecr:GetAuthorizationToken', 'break')
  const broken = await failureOf(open(aws.user()))
  assert.match(broken, /ECONNRESET/)
  assert.doesNotMatch(broken, /in time/)
})

test("a service account's token that STS repeats is redacted", async () => {
  const file = join(directory, 'short')
  await writeFile(file, 'no-jwt\n')
  aws.fail('sts:AssumeRoleWithWebIdentity', refusal(400, 'InvalidIdentityToken', 'what is no-jwt?'))
  const failure = await failureOf(
    open({ AWS_WEB_IDENTITY_TOKEN_FILE: file, AWS_ROLE_ARN: role, AWS_REGION: 'eu-west-1' }),
  )
  assert.match(failure, /InvalidIdentityToken: what is \[redacted\]\?/)
})

test('denied GetAuthorizationToken: the advice names the action and the identity', async () => {
  const message = `User: ${assumed}/s is not authorized to perform: ecr:GetAuthorizationToken on resource: * because no identity-based policy allows the ecr:GetAuthorizationToken action`
  aws.fail('ecr:GetAuthorizationToken', refusal(400, 'AccessDeniedException', message))
  const failure = await failureOf(open(await aws.irsa(directory)))
  assert.match(failure, /AccessDeniedException: User: arn:aws:sts::111122223333:assumed-role/)
  assert.match(failure, new RegExp(`grant ${assumed} ecr:GetAuthorizationToken on`))
  assert.match(failure, /AmazonEC2ContainerRegistryPullOnly/)
  aws.fail('ecr-public:GetAuthorizationToken', refusal(400, 'AccessDeniedException', message))
  const ofPublic = await failureOf(open(aws.user(), { host: 'public.ecr.aws' }))
  assert.match(ofPublic, /ecr-public:GetAuthorizationToken .* sts:GetServiceBearerToken/)
})

test('a role that does not trust the service account: the advice contains the trust policy', async () => {
  const sub = 'system:serviceaccount:other:berth'
  const failure = await failureOf(open(await aws.irsa(directory, { sub })))
  assert.match(failure, /\(sub system:serviceaccount:other:berth, aud sts.amazonaws.com, iss http/)
  assert.match(failure, /AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity/)
  assert.match(failure, /arn:aws:iam::111122223333:oidc-provider\/oidc.eks.eu-west-1/)
  assert.ok(failure.includes(`"${issuerHost}:sub": "${sub}"`), failure)
  assert.ok(failure.includes(`"${issuerHost}:aud": "sts.amazonaws.com"`), failure)
  assert.match(failure, /aws iam get-role --role-name berth/)
})

test("an account without the cluster's identity provider: the advice contains the command", async () => {
  const iss = 'https://oidc.eks.eu-west-1.amazonaws.com/id/UNKNOWN'
  const unknown = await failureOf(open(await aws.irsa(directory, { iss })))
  assert.match(unknown, /InvalidIdentityToken.*: No OpenIDConnect provider found/)
  assert.match(unknown, /eksctl utils associate-iam-oidc-provider/)
  const audience = await failureOf(open(await aws.irsa(directory, { aud: 'kubernetes' })))
  assert.match(audience, /aud kubernetes, .*Incorrect token audience/)
  assert.match(audience, /set the audience .* to sts\.amazonaws\.com/)
})

test('a missing token file: the error names it', async () => {
  const file = join(directory, 'absent')
  const source = open({ AWS_WEB_IDENTITY_TOKEN_FILE: file, AWS_ROLE_ARN: role })
  const failure = await failureOf(source)
  assert.match(failure, /ENOENT/)
  assert.match(failure, /serviceAccountToken at that path, with the audience sts\.amazonaws\.com/)
  assert.ok(failure.includes(file))
  const agent = { AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file }
  const ofAgent = await failureOf(open({ ...(await aws.podIdentity(directory)), ...agent }))
  assert.match(ofAgent, /ENOENT.*with the audience pods\.eks\.amazonaws\.com/s)
})

test("an error of EKS's agent is reported, not the chain's general error", async () => {
  const refused = refusal(
    404,
    'ResourceNotFoundException',
    'The pod identity association was not found',
  )
  aws.fail('eks-auth:AssumeRoleForPodIdentity', refused)
  const failure = await failureOf(open(await aws.podIdentity(directory)))
  assert.match(
    failure,
    /^cannot get AWS keys from the agent at http:\/\/127\.0\.0\.1:\d+ \(EKS Pod Identity, ECS\): /,
  )
  assert.match(failure, /ResourceNotFoundException: The pod identity association was not found/)
  assert.match(failure, /eks-pod-identity-agent.*list-pod-identity-associations/)
})

test('a missing agent of EKS: the advice names the add-on', async () => {
  // The last of the chain takes no address but the first of loopback, and would say only that.
  const url = { AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://127.0.0.2:1/v1/credentials' }
  const failure = await failureOf(open({ ...(await aws.podIdentity(directory)), ...url }))
  assert.match(failure, /the agent at http:\/\/127\.0\.0\.2:1 .*ECONNREFUSED/)
  assert.match(failure, /eks-pod-identity-agent runs on this node/)
})

test('errors for wrong, expired and unknown keys are told apart', async () => {
  const user = aws.user()
  const wrong = { ...user, AWS_SECRET_ACCESS_KEY: 'wrong' }
  const signature = await failureOf(open(wrong))
  assert.match(signature, /InvalidSignatureException: The request signature we calculated/)
  assert.match(
    signature,
    /secret key from .* does not belong to its access key ID, or the clock of this machine/,
  )
  assert.doesNotMatch(signature, /Canonical String/)

  const unknown = { ...user, AWS_ACCESS_KEY_ID: 'AKIAUNKNOWN' }
  assert.match(await failureOf(open(unknown)), /UnrecognizedClient.*deleted or deactivated/s)

  const expired = refusal(400, 'ExpiredTokenException', 'The security token included is expired')
  aws.fail('ecr:GetAuthorizationToken', expired)
  assert.match(await failureOf(open(user)), /ExpiredToken.*have expired: renew them/s)
})

test('the details of a wrong signature are omitted, because AWS repeats the session token in them', async () => {
  const variables = await aws.irsa(directory)
  const source = open(variables)
  await source.fetch()
  const token = aws.secrets().find((secret) => secret.startsWith('IQoJ'))
  const [request] = aws.requests.filter(({ headers }) => headers['x-amz-security-token'] === token)
  assert.ok(request !== undefined && token !== undefined)
  const message = `The request signature we calculated does not match.\n\nThe Canonical String for this request should have been\n'x-amz-security-token:${token}'`
  aws.fail('ecr:GetAuthorizationToken', refusal(403, 'InvalidSignatureException', message))
  assert.match(await failureOf(source), /does not match/)
})

test('for throttling and server errors of AWS, the advice says that no change is needed', async () => {
  aws.fail('ecr:GetAuthorizationToken', refusal(400, 'ThrottlingException', 'Rate exceeded'))
  assert.match(await failureOf(open(aws.user())), /Rate exceeded.*no change is needed/s)
  aws.fail('ecr:GetAuthorizationToken', refusal(500, 'ServerException', 'internal'))
  assert.match(await failureOf(open(aws.user())), /health\.aws\.amazon\.com/)
  const idp = refusal(400, 'IDPCommunicationError', 'no answer of the identity provider')
  aws.fail('sts:AssumeRoleWithWebIdentity', idp)
  const failure = await failureOf(open(await aws.irsa(directory)))
  assert.match(failure, /STS must be able to fetch https:\/\/oidc\.eks.*openid-configuration/)
})

test('unreachable services: the advice names VPC endpoints and proxies', async () => {
  const url = 'http://127.0.0.1:1'
  const failure = await failureOf(open({ ...aws.user(), AWS_ENDPOINT_URL_ECR: url }))
  assert.match(failure, /ECONNREFUSED/)
  assert.match(failure, /allow connections to https:\/\/api\.ecr\.eu-west-1\.amazonaws\.com/)
  assert.match(failure, /com\.amazonaws\.REGION\.ecr\.api/)
  const sts = await failureOf(open({ ...(await aws.irsa(directory)), AWS_ENDPOINT_URL_STS: url }))
  assert.match(sts, new RegExp(`${subject}.*ECONNREFUSED.*security token service`, 's'))
})

test('AWS is reached through the proxy with SSL_CERT_FILE, and its agents on the node without a proxy (C193)', async () => {
  const authority = await createAuthority('aws')
  const far = await startAws(await authority.issue(['DNS:api.ecr.eu-west-1.amazonaws.com']))
  const proxy = await startConnectProxy({ route: () => ({ host: '127.0.0.1', port: far.port }) })
  try {
    const identity = await aws.podIdentity(directory)
    const source = open({
      ...identity,
      // Without a scheme.
      HTTPS_PROXY: new URL(proxy.url).host,
      NO_PROXY: '10.0.0.0/8,sts.amazonaws.com',
      SSL_CERT_FILE: authority.file,
    })
    for (const name of Object.keys(process.env))
      if (name.startsWith('AWS_ENDPOINT')) delete process.env[name]
    // The other AWS does not know the keys, which shows that it was asked.
    assert.match(await failureOf(source), /UnrecognizedClient/)
    assert.ok(proxy.requests.includes('CONNECT api.ecr.eu-west-1.amazonaws.com:443'))
    assert.equal(aws.countRequests('eks-auth:AssumeRoleForPodIdentity'), 1)
    assert.equal(far.countRequests('ecr:GetAuthorizationToken'), 1)
  } finally {
    await Promise.all([proxy.close(), far.stop(), authority.remove()])
  }
})

test('each kind of host uses the endpoint of its partition', async (t) => {
  const proxy = await startConnectProxy({ wants: 'nobody' })
  t.after(proxy.close)
  const endpoints = {
    [`${other}.dkr.ecr.eu-west-1.amazonaws.com`]: 'api.ecr.eu-west-1.amazonaws.com',
    [`${other}.dkr.ecr.cn-north-1.amazonaws.com.cn`]: 'api.ecr.cn-north-1.amazonaws.com.cn',
    [`${other}.dkr.ecr-fips.us-gov-west-1.amazonaws.com`]:
      'api.ecr-fips.us-gov-west-1.amazonaws.com',
    [`${other}.dkr-ecr.eu-west-1.on.aws`]: 'ecr.eu-west-1.api.aws',
    [`${other}.dkr.ecr.us-iso-east-1.c2s.ic.gov`]: 'api.ecr.us-iso-east-1.c2s.ic.gov',
    'public.ecr.aws': 'api.ecr-public.us-east-1.amazonaws.com',
  }
  for (const [host, endpoint] of Object.entries(endpoints)) {
    const source = open({ ...aws.user(), HTTPS_PROXY: proxy.url }, { host })
    for (const name of Object.keys(process.env))
      if (name.startsWith('AWS_ENDPOINT')) delete process.env[name]
    await failureOf(source)
    assert.ok(proxy.requests.includes(`CONNECT ${endpoint}:443`), `${host}: ${proxy.requests}`)
  }
})
