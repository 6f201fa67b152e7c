import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { CredentialError } from '../../../src/credentials/credential-error.ts'
import { createGoogleSource } from '../../../src/credentials/google/google.ts'
import { createOutbound } from '../../../src/outbound/outbound.ts'
import { redact } from '../../../src/telemetry/telemetry.ts'
import { startAwsMachine } from '../../support/aws-machine.ts'
import { eventually } from '../../support/berth.ts'
import { createAuthority } from '../../support/certificates.ts'
import { startConnectProxy } from '../../support/connect-proxy.ts'
import { type Google, principal, startGoogle } from '../../support/google.ts'
import { account } from '../../support/google-accounts.ts'
import { startGoogleByName } from '../../support/google-by-name.ts'
import { audience } from '../../support/google-provider.ts'
import { startWebServer } from '../../support/web-server.ts'

let directory: string
let google: Google

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'berth-google-'))
})
after(() => rm(directory, { recursive: true, force: true }))
beforeEach(async () => {
  google = await startGoogle({ grant: 'impersonation' })
})
afterEach(() => google.stop())

type Options = Partial<Parameters<typeof createGoogleSource>[0]>

/** The error of a fetch, which must fail, without a token in its texts. */
async function failureOf(options: Options): Promise<{ message: string; advice: string }> {
  const source = createGoogleSource({
    outbound: createOutbound({ proxy: { https: process.env['HTTPS_PROXY'] } }),
    access: 'pull',
    host: 'us-docker.pkg.dev',
    optional: true,
    ...options,
  })
  const error: unknown = await source.fetch().then(
    () => undefined,
    (thrown) => thrown,
  )
  assert.ok(error instanceof CredentialError, `${error}`)
  const { message, advice = '' } = error
  assert.doesNotMatch(
    `${message} ${advice} ${error.cause}`,
    /ya29\.|eyJ|client-secret|1\/\/|PRIVATE/,
  )
  assert.equal(redact(advice), advice, 'redaction must not change the advice')
  return { message, advice }
}

/** The error of an exchange of a pod's token with these claims, and a configuration with these changes. */
async function federatedFailure(claims: object = {}, changes: object = {}) {
  const file = await google.configure(directory, { ...changes })
  await writeFile(join(directory, 'token'), google.projectedToken(claims))
  return failureOf({ file })
}

async function write(content: unknown, name = 'configuration.json'): Promise<string> {
  const file = join(directory, name)
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content))
  return file
}

const describe =
  'gcloud iam workload-identity-pools providers describe cluster --workload-identity-pool=clusters --location=global --project=123456789'

test('a subject token for another audience: the error names both audiences', async () => {
  const aud = ['https://kubernetes.default.svc']
  const { message, advice } = await federatedFailure({ aud })
  assert.match(
    message,
    /^cannot exchange the subject token: 127\.0\.0\.1:\d+ answered 400 invalid_grant: The audience in ID Token \[.*\] does not match the expected audience\.$/,
  )
  assert.ok(
    advice.startsWith(
      `the audience of the subject token is https://kubernetes.default.svc, but the provider expects https:${audience}: set the audience of the projected volume at ${join(directory, 'token')}`,
    ),
    advice,
  )
})

test('the advice names the URL or the kubelet as the source of the subject token', async () => {
  const token = google.projectedToken({ aud: 'x' })
  const server = await startWebServer((_seen, response) => void response.end(token))
  const credential_source = { url: `${server.url}/token?a=b` }
  const { advice } = await federatedFailure({}, { credential_source })
  await server.close()
  assert.ok(advice.includes(`set the audience of the tokens from ${server.url}/token to`), advice)
  const file = await google.configure(directory)
  const byKubelet = await failureOf({ file, workloadToken: { token, annotations: {} } })
  assert.match(
    byKubelet.advice,
    /serviceAccountTokenAudience in the kubelet's CredentialProviderCo/,
  )
  const old = { token: google.projectedToken({ exp: 1 }), annotations: {} }
  assert.match((await failureOf({ file, workloadToken: old })).advice, /must provide a new one$/)
})

test('an expired subject token: the advice says when it expired, and how to renew it', async () => {
  const { message, advice } = await federatedFailure({ exp: 1_700_000_000 })
  assert.match(message, /is stale to sign-in/)
  assert.match(advice, /expired at 2023-11-14T22:13:20\.000Z: .* must be renewed/)
})

test('a subject token of another issuer: the advice names the issuer', async () => {
  const iss = 'https://other.example.com'
  const { advice } = await federatedFailure({ iss })
  assert.match(
    advice,
    /^the issuer of the subject token is https:\/\/other\.example\.com, but the provider accepts/,
  )
})

test('an issuer that Google cannot reach: the advice names the URL that Google reads', async () => {
  await google.cluster.stop()
  const { message, advice } = await federatedFailure()
  assert.match(message, /Error connecting to the given credential's issuer/)
  assert.match(
    advice,
    /cannot read http:.*\/\.well-known\/openid-configuration: make that URL public/,
  )
})

test('an unknown signing key: the advice contains the command that uploads the keys', async () => {
  google.cluster.rotate({ announce: false })
  const { advice } = await federatedFailure()
  assert.match(advice, /kubectl get --raw \/openid\/v1\/jwks/)
})

test('a missing or disabled provider: the advice contains the command that shows it', async () => {
  google.set({ provider: false })
  const { message, advice } = await federatedFailure()
  assert.match(message, /400 invalid_target: The target service indicated by the "audience"/)
  assert.equal(
    advice,
    `check that the workload identity pool and its provider exist and are enabled: ${describe}`,
  )
})

test('an audience that is not the name of a provider: the advice shows the format', async () => {
  const { message, advice } = await federatedFailure({}, { audience: 'https://example.com' })
  assert.match(message, /400 invalid_request: Invalid value for "audience"/)
  assert.match(
    advice,
    /set the audience .* to \/\/iam\.googleapis\.com\/.*; it is https:\/\/example\.com$/,
  )
})

test('the advice names the subject that the attribute condition rejects', async () => {
  google.set({ subjects: /^no subject$/ })
  const { advice } = await federatedFailure()
  assert.match(
    advice,
    /attribute condition rejects the subject system:serviceaccount:berth:berth: change/,
  )
})

test('a subject token that is not a JWT: the error says so without its text', async () => {
  const file = await google.configure(directory)
  await writeFile(join(directory, 'token'), 'eyJ-canary')
  const { message, advice } = await failureOf({ file })
  assert.match(message, /400 invalid_request: Invalid JWT/)
  assert.match(
    advice,
    new RegExp(`^the subject token from ${join(directory, 'token')} is not a JWT`),
  )
})

test('messages redact secrets that a service repeats, even if they do not look like secrets', async () => {
  const file = await google.configure(directory)
  await writeFile(join(directory, 'token'), 'plain subject')
  const refuse = (error_description: string) => ({
    status: 400,
    body: { error: 'invalid_grant', error_description },
  })
  google.fail('sts', refuse('I cannot use plain subject'))
  assert.match((await failureOf({ file })).message, /invalid_grant: I cannot use \[redacted\]$/)
  const { refresh_token, client_secret } = google.logIn()
  google.fail('oauth', refuse(`${refresh_token} of ${client_secret}`))
  const login = await write({ ...google.logIn(), refresh_token })
  assert.match((await failureOf({ file: login })).message, /: \[redacted\] of \[redacted\]$/)
})

test('an AWS role that the provider does not accept: the advice says so', async (t) => {
  const machine = await startAwsMachine(2)
  t.after(machine.stop)
  const file = await google.configure(directory, { credential_source: machine.credentialSource })
  assert.match(
    (await failureOf({ file })).advice,
    /^check that the provider accepts this AWS account/,
  )
})

test('an STS error without a description: the advice contains the claims of the token', async () => {
  google.fail('sts', { status: 400, body: { error: 'invalid_grant' } })
  const { message, advice } = await federatedFailure()
  assert.match(message, /answered 400 invalid_grant$/)
  assert.match(
    advice,
    /issuer http:.*, subject system:serviceaccount:berth:berth\) with the provider: gcloud/,
  )
  const expired = await federatedFailure({ exp: 1_700_000_000 })
  assert.match(expired.advice, /expired at 2023/)
  const meant = await federatedFailure({ aud: 'sts.amazonaws.com' })
  assert.match(meant.advice, /token is sts\.amazonaws\.com, but the provider expects https:/)
})

test('an API that is not enabled: the advice contains the command that enables it', async () => {
  const body = (name: string) => ({
    error: {
      code: 403,
      status: 'PERMISSION_DENIED',
      message: `${name} has not been used in project 123456789 before or it is disabled.`,
      details: [{ '@type': 'x', reason: 'SERVICE_DISABLED' }],
    },
  })
  google.fail('sts', { status: 403, body: body('Security Token Service API') })
  assert.equal(
    (await federatedFailure()).advice,
    'enable the API: gcloud services enable sts.googleapis.com --project=123456789',
  )
  google.fail('sts', undefined)
  google.fail('impersonation', { status: 403, body: body('IAM Service Account Credentials API') })
  assert.equal(
    (await federatedFailure()).advice,
    'enable the API: gcloud services enable iamcredentials.googleapis.com --project=my-project',
  )
})

test('denied impersonation: the advice names the identity, the role and the command', async () => {
  google.set({ impersonators: /^no subject$/ })
  const { message, advice } = await federatedFailure()
  assert.match(
    message,
    /answered 403 PERMISSION_DENIED: Permission 'iam\.serviceAccounts\.getAccess/,
  )
  assert.match(message, new RegExp(`^cannot impersonate ${account}: `))
  assert.equal(
    advice,
    `grant roles/iam.workloadIdentityUser on ${account} to ${principal}: gcloud iam service-accounts add-iam-policy-binding ${account} --project=my-project --role=roles/iam.workloadIdentityUser --member=${principal}`,
  )
})

test('a missing service account: the advice says so', async () => {
  const url = `${google.url}/v1/projects/-/serviceAccounts/x@p.iam.gserviceaccount.com:generateAccessToken`
  const { message, advice } = await federatedFailure({}, { service_account_impersonation_url: url })
  assert.match(message, /404 NOT_FOUND: Not found; Gaia id not found for email x@p/)
  assert.match(advice, /^the service account x@p\.iam\.gserviceaccount\.com does not exist: create/)
})

test('a disabled service account: the advice contains the command that enables it', async () => {
  const message = `Service account ${account} is disabled.`
  const body = { error: { code: 400, status: 'FAILED_PRECONDITION', message } }
  google.fail('impersonation', { status: 400, body })
  assert.equal(
    (await federatedFailure()).advice,
    `${account} is disabled. Enable it: gcloud iam service-accounts enable ${account} --project=my-project`,
  )
})

test('a lifetime that is not allowed: the advice names the field', async () => {
  const lifetime = { service_account_impersonation: { token_lifetime_seconds: 40_000 } }
  const { advice } = await federatedFailure({}, lifetime)
  assert.match(advice, /^set service_account_impersonation\.token_lifetime_seconds to 3600 or less/)
})

test('denied impersonation by a user: the advice names the user as IAM does', async () => {
  google.set({ impersonators: /^no subject$/ })
  const file = await write({
    type: 'impersonated_service_account',
    service_account_impersonation_url: `${google.url}/v1/projects/-/serviceAccounts/${account}:generateAccessToken`,
    source_credentials: google.logIn(),
  })
  const { advice } = await failureOf({ file })
  assert.match(
    advice,
    /^grant roles\/iam\.serviceAccountTokenCreator on .* to user:dev@example\.com:/,
  )
})

test('a revoked login: the advice contains the command that logs in', async () => {
  const file = await write(google.logIn())
  google.revokeLogins()
  const { message, advice } = await failureOf({ file })
  assert.match(message, /400 invalid_grant: Token has been expired or revoked\./)
  assert.match(advice, /^log in again: gcloud auth application-default login;/)
})

test('errors for a deleted key, a deleted account and a wrong clock are told apart', async (t) => {
  const named = await startGoogleByName(t)
  const key = named.google.createKey()
  const file = await write(key)
  named.google.deleteKeys()
  const deleted = await failureOf({ file })
  assert.match(
    deleted.message,
    /: oauth2\.googleapis\.com answered 400 invalid_grant: Invalid JWT Sig/,
  )
  assert.match(
    deleted.message,
    new RegExp(`^cannot get an access token with the key of ${account}: `),
  )
  assert.match(deleted.advice, /was deleted or disabled: gcloud iam service-accounts keys/)
  const client_email = 'gone@my-project.iam.gserviceaccount.com'
  const gone = await failureOf({ file: await write({ ...key, client_email }) })
  assert.match(gone.advice, /^gone@my-project\.iam\.gserviceaccount\.com does not exist any more/)
  const error_description =
    'Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.'
  named.google.fail('oauth', { status: 400, body: { error: 'invalid_grant', error_description } })
  assert.equal((await failureOf({ file })).advice, 'correct the clock of this machine')
})

test('a missing, empty or misplaced subject token: the error names the file', async () => {
  const file = await google.configure(directory)
  const token = join(directory, 'token')
  await rm(token)
  const missing = await failureOf({ file })
  assert.equal(missing.message, `cannot read the subject token in ${token}: ENOENT`)
  assert.match(
    missing.advice,
    new RegExp(`serviceAccountToken whose audience is https:${audience} so`),
  )
  await writeFile(token, ' \n')
  assert.equal((await failureOf({ file })).message, `${token} contains no token`)
  const format = { type: 'json', subject_token_field_name: 'id_token' }
  const asJson = await google.configure(directory, { credential_source: { file: token, format } })
  await writeFile(token, '{"token":"x"}')
  assert.equal((await failureOf({ file: asJson })).message, `${token} contains no field id_token`)
})

test('a URL without a subject token: the error names the URL without its query', async () => {
  const server = await startWebServer((_seen, response) => void response.writeHead(404).end('no'))
  const url = `${server.url}/token?secret=1`
  const { message, advice } = await federatedFailure({}, { credential_source: { url } })
  await server.close()
  assert.match(message, /^cannot get a subject token: .* answered 404 no$/)
  assert.match(advice, /http:[^?]*\/token must return subject tokens$/)
})

test('a configuration that is missing, invalid JSON or of another type is an error', async () => {
  const missing = await failureOf({ file: join(directory, 'missing.json') })
  assert.match(missing.message, /ENOENT/)
  assert.match(missing.advice, /GOOGLE_APPLICATION_CREDENTIALS/)
  const text = await failureOf({ file: await write('no JSON') })
  assert.match(text.message, /is not valid JSON/)
  const other = await failureOf({ file: await write({ installed: { client_id: 'x' } }) })
  assert.match(other.message, /does not have the expected content: type/)
  assert.match(other.advice, /^use a file that gcloud writes/)
  const source = await write({ type: 'external_account', audience, subject_token_type: 'x' })
  assert.match((await failureOf({ file: source })).message, /has no credential_source/)
})

test('an unreachable service: the advice names the network policy or DNS', async () => {
  await google.die()
  const refused = await federatedFailure()
  assert.match(
    refused.message,
    /^cannot exchange the subject token: cannot reach 127\.0\.0\.1:\d+: ECONNR/,
  )
  assert.match(
    refused.advice,
    /^allow connections from Berth to 127\.0\.0\.1:\d+ \(network policies/,
  )
  const token_url = 'http://sts.invalid/v1/token'
  const unknown = await federatedFailure({}, { token_url })
  assert.match(unknown.message, /cannot reach sts\.invalid: (ENOTFOUND|EAI_AGAIN)/)
  assert.match(unknown.advice, /^the name sts\.invalid cannot be resolved here: check/)
})

test('errors for an untrusted certificate and for a proxy that requires a password say so', async (t) => {
  const authority = await createAuthority('of nobody')
  const pair = await authority.issue(['IP:127.0.0.1'])
  const server = await startWebServer((_seen, response) => void response.end(), { tls: pair })
  const proxy = await startConnectProxy({ wants: 'Basic secret' })
  t.after(async () => {
    delete process.env['HTTPS_PROXY']
    await Promise.all([server.close(), proxy.close(), authority.remove()])
  })
  const changes = { token_url: `${server.url}/v1/token` }
  const untrusted = await federatedFailure({}, changes)
  assert.match(
    untrusted.advice,
    /signed by an unknown authority: .* SSL_CERT_FILE, NODE_EXTRA_CA_CERTS or/,
  )
  process.env['HTTPS_PROXY'] = proxy.url
  const closed = await federatedFailure({}, { token_url: 'https://sts.test/v1/token' })
  assert.match(closed.message, /the forward proxy answered 407/)
  assert.match(closed.advice, /the proxy requires a user name and password/)
})

test('a server error of Google is retried twice, and then reported', async () => {
  google.fail('sts', { status: 503, body: '<html>backend error</html>' })
  const { message, advice } = await federatedFailure()
  assert.match(message, /^cannot exchange the subject token: 127\.0\.0\.1:\d+ answered 503$/)
  assert.match(advice, /has an internal error \(see status\.cloud\.google\.com/)
  assert.equal(google.count(/POST \/v1\/token/), 3)
})

test('no redirect is followed, because a credential is meant for one service only (INV 4)', async (t) => {
  const stranger = await startWebServer((_seen, response) => void response.end())
  t.after(stranger.close)
  const location = `${stranger.url}/token`
  const token_uri = `${google.url}/token`
  const key = await write({ ...google.createKey(), token_uri }, 'key.json')
  const login = await write(google.logIn(), 'login.json')
  const configuration = await google.configure(directory)
  const ways = [
    ['sts', { file: configuration }],
    ['impersonation', { file: configuration }],
    ['oauth', { file: key }],
    ['oauth', { file: login }],
    ['metadata', { metadataHost: google.metadataHost }],
  ] as const
  for (const status of [301, 302, 307, 308])
    for (const [endpoint, options] of ways) {
      google.fail(endpoint, { status, body: 'elsewhere', headers: { location } })
      const { message } = await failureOf(options)
      assert.match(message, new RegExp(`answered ${status} elsewhere`))
      google.fail(endpoint, undefined)
    }
  const source = await startWebServer(
    (_seen, response) => void response.writeHead(307, { location }).end(),
  )
  t.after(source.close)
  const headers = { 'x-key': 'for the source alone' }
  const credential_source = { url: source.url, headers }
  const { message, advice } = await federatedFailure({}, { credential_source })
  assert.match(message, /^cannot get a subject token: .* answered 307$/)
  assert.match(advice, /answered with a redirect, which Berth does not follow/)
  assert.equal(stranger.requests.length, 0)
})

test('an endless response is aborted', async () => {
  google.fail('sts', { status: 200, body: 'x'.repeat(1024 * 1024) })
  const { message } = await federatedFailure()
  assert.match(message, /over limit/)
})

test('an HTML page instead of a token is an error without the page', async () => {
  for (const endpoint of ['sts', 'impersonation'] as const) {
    google.fail(endpoint, { status: 200, body: '<html>Log in</html>' })
    const { message, advice } = await federatedFailure()
    assert.equal(message, 'Google answered without an access token')
    assert.match(advice, /^check whether a proxy/)
  }
})

test('an invalid private key is an error without the key', async () => {
  const key = google.createKey()
  const private_key = key['private_key']?.replace(/\n.*\n/, '\nno\n')
  const { advice } = await failureOf({ file: await write({ ...key, private_key }) })
  assert.match(advice, new RegExp(`private_key is complete; .* --iam-account=${account}`))
})

test('an invalid URL: the error names the field', async () => {
  const { message } = await federatedFailure({}, { token_url: 'sts' })
  assert.match(message, /does not have the expected content: token_url: /)
})

test('an exhausted quota is reported as throttling', async () => {
  google.fail('impersonation', {
    status: 429,
    body: { error: { code: 429, status: 'RESOURCE_EXHAUSTED', message: 'Quota exceeded' } },
  })
  const { message, advice } = await federatedFailure()
  assert.match(message, /429 RESOURCE_EXHAUSTED: Quota exceeded/)
  assert.match(advice, /^127\.0\.0\.1:\d+ throttles requests/)
})

for (const endpoint of ['sts', 'impersonation'] as const)
  test(`an exchange that hangs (${endpoint}) ends at the deadline, and so does its request`, async () => {
    google.fail(endpoint, 'hang')
    const file = await google.configure(directory)
    const { message, advice } = await failureOf({ file, deadline: 300 })
    assert.match(message, /^cannot .*: 127\.0\.0\.1:\d+ did not answer in time$/)
    assert.match(advice, /allow connections from Berth/)
    const before = google.requests.length
    await new Promise((resolve) => setTimeout(resolve, 1000))
    assert.equal(google.requests.length, before, 'there are no retries')
  })

test('an exchange ends at the deadline whichever request hangs', async (t) => {
  const server = await startWebServer(() => {})
  t.after(server.close)
  const login = { ...google.logIn(), token_uri: server.url }
  const byUser = await failureOf({ file: await write(login), deadline: 200 })
  assert.match(byUser.message, /^cannot refresh the user's login: .* did not answer in time$/)
  const credential_source = { url: server.url }
  const byUrl = await google.configure(directory, { credential_source })
  const { message } = await failureOf({ file: byUrl, deadline: 200 })
  assert.match(message, /^cannot get a subject token: .* did not answer in time$/)
  const aws = {
    environment_id: 'aws1',
    region_url: server.url,
    url: server.url,
    regional_cred_verification_url: 'https://sts.{region}.amazonaws.com',
  }
  const byAws = await google.configure(directory, { credential_source: aws })
  assert.match((await failureOf({ file: byAws, deadline: 200 })).message, /did not answer in time/)
  await eventually('no request goes on', () => server.connections.open === 0)
})

test('a request to a metadata server that hangs ends at the deadline (K112)', async () => {
  google.fail('metadata', 'hang')
  const { message } = await failureOf({ metadataHost: google.metadataHost, deadline: 300 })
  assert.match(message, /: the metadata server at 127\.0\.0\.1:\d+ did not answer in time$/)
})

test('a pod that may not impersonate its account: the advice contains the command (K112)', async () => {
  const text =
    "Unable to generate access token; IAM returned 403 Forbidden: Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).\nThis error could be caused by a missing IAM policy binding on the target IAM service account.\n"
  google.fail('metadata', { status: 403, body: text, headers: { 'metadata-flavor': 'Google' } })
  const { message, advice } = await failureOf({ metadataHost: google.metadataHost })
  assert.match(message, /answered 403 Unable to generate access token; IAM returned 403 Forbidden/)
  assert.match(
    advice,
    /add-iam-policy-binding .* --role=roles\/iam\.workloadIdentityUser --member=/,
  )
})

test('errors for a machine without a service account, and for a missing account, say so', async () => {
  const headers = { 'metadata-flavor': 'Google' }
  const metadataHost = google.metadataHost
  google.fail('metadata', { status: 404, body: '<html>', headers })
  assert.match(
    (await failureOf({ metadataHost })).advice,
    /^assign a service account to the machine/,
  )
  const body = 'Unable to generate access token; IAM returned 404 Not Found: Not found; Gaia id'
  google.fail('metadata', { status: 404, body, headers })
  const { advice } = await failureOf({ metadataHost })
  assert.match(advice, /^the annotation iam\.gke\.io\/gcp-service-account .* does not exist/)
})

test('an answer without the header of the metadata server is rejected', async () => {
  const { url, close, host } = await startWebServer((_seen, response) => {
    response.end(JSON.stringify({ access_token: 'ya29.x', expires_in: 600 }))
  })
  const { message } = await failureOf({ metadataHost: host })
  await close()
  assert.equal(
    message,
    `${new URL(url).host} is not a metadata server: its answer has no header Metadata-Flavor: Google`,
  )
})

test('errors of executables never contain their output', async () => {
  const executables = { PATH: '/usr/bin:/bin' }
  const command = await write('#!/bin/sh\n', 'program')
  const file = await google.configure(directory, { credential_source: { executable: { command } } })
  const forbidden = await failureOf({ file })
  assert.match(forbidden.advice, /^set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1 if/)
  const unexecutable = await failureOf({ file, executables })
  assert.equal(unexecutable.message, `${command} cannot be run: EACCES`)
  await rm(command)
  const missing = await failureOf({ file, executables })
  assert.equal(missing.message, `${command} cannot be run: ENOENT`)

  const complaintOf = async (script: string, deadline = 9000) => {
    await write(`#!/bin/sh\n${script}\n`, 'program')
    await chmod(command, 0o755)
    return (await failureOf({ file, executables, deadline })).message
  }
  assert.equal(await complaintOf('echo eyJsecret; exit 3'), `${command} failed with status 3`)
  assert.equal(await complaintOf('kill -9 $$'), `${command} was killed by SIGKILL`)
  assert.equal(await complaintOf('sleep 30', 1000), `${command} did not answer within 1 seconds`)
  assert.equal(await complaintOf('yes'), `${command} wrote more than 1048576 bytes`)
  assert.equal(await complaintOf('echo no'), `${command} did not print a token in JSON`)
  const refusal = `{"version":1,"success":false,"code":"401","message":"not logged in"}`
  assert.equal(
    await complaintOf(`echo '${refusal}'; exit 1`),
    `${command} returned an error: 401: not logged in`,
  )
  const old = `{"version":1,"success":true,"id_token":"x","expiration_time":1}`
  assert.match(await complaintOf(`echo '${old}'`), /printed an expired token$/)
})

test('a hanging program is killed with its child processes', async () => {
  const command = await write('#!/bin/sh\nsleep 60 &\necho $! > "$1"\nwait\n', 'program')
  await chmod(command, 0o755)
  const pid = join(directory, 'pid')
  const credential_source = { executable: { command: `${command} ${pid}` } }
  const file = await google.configure(directory, { credential_source })
  const executables = { PATH: '/usr/bin:/bin' }
  const failure = failureOf({ file, executables, deadline: 2000 })
  await eventually('it has started', async () =>
    /\n/.test(await readFile(pid, 'utf8').catch(() => '')),
  )
  const started = Number(await readFile(pid, 'utf8'))
  assert.match((await failure).message, /did not answer within 2 seconds$/)
  await eventually('its child process has ended', () => !isRunning(started))
})

function isRunning(pid: number): boolean {
  try {
    // A zombie has ended as well.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
