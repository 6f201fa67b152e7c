import assert from 'node:assert/strict'
import { generateKeyPairSync, verify, X509Certificate } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, afterEach, before, beforeEach, type TestContext, test } from 'node:test'
import { TLSSocket } from 'node:tls'
import { createGoogleSource } from '../../../src/credentials/google/google.ts'
import { createOutbound } from '../../../src/outbound/outbound.ts'
import { type AwsMachine, startAwsMachine } from '../../support/aws-machine.ts'
import { basicOf } from '../../support/canaries.ts'
import { createAuthority, type KeyPair } from '../../support/certificates.ts'
import { parseJwt } from '../../support/cluster-issuer.ts'
import { type ConnectProxy, startConnectProxy } from '../../support/connect-proxy.ts'
import { type Google, impersonationUrl, principal, startGoogle } from '../../support/google.ts'
import { account } from '../../support/google-accounts.ts'
import {
  createTrustedAuthority,
  otherUniverse,
  startGoogleByName,
} from '../../support/google-by-name.ts'
import { audience } from '../../support/google-provider.ts'
import { sendJson, startWebServer } from '../../support/web-server.ts'

const readOnly = 'https://www.googleapis.com/auth/cloud-platform.read-only'
const whole = 'https://www.googleapis.com/auth/cloud-platform'

let directory: string
let google: Google

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'berth-google-'))
})
after(() => rm(directory, { recursive: true, force: true }))
beforeEach(async () => {
  google = await startGoogle({ grant: 'direct' })
})
afterEach(() => google.stop())

type Options = Parameters<typeof createGoogleSource>[0]

function sourceOf(options: Partial<Options>) {
  return createGoogleSource({
    outbound: createOutbound({ proxy: { https: process.env['HTTPS_PROXY'] } }),
    access: 'pull',
    host: 'us-docker.pkg.dev',
    optional: false,
    ...options,
  })
}

/** Fetches, and looks whether the token is one of Google's. */
async function fetchOf(options: Partial<Options>) {
  const source = sourceOf(options)
  const { credential, lifetime } = await source.fetch()
  assert.equal(credential.kind, 'access-token')
  const token = credential.kind === 'access-token' ? credential.token : ''
  const holder = google.accessTokens.spend(token)
  assert.ok(holder !== undefined, 'it is a token that Google gave')
  return { source, holder, lifetime }
}

async function write(content: unknown, name = 'configuration.json'): Promise<string> {
  const file = join(directory, name)
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content))
  return file
}

/** The bodies of requests to one of Google's endpoints so far, as forms. */
function formsTo(path: string): readonly URLSearchParams[] {
  return google.requests.flatMap((request) =>
    request.path === path ? [new URLSearchParams(request.body)] : [],
  )
}

function assertLifetime(lifetime: number | undefined, seconds: number): void {
  assert.ok(lifetime !== undefined && Math.abs(lifetime - seconds * 1000) < 60_000, `${lifetime}`)
}

test('a token in a file is exchanged without its trailing newline (T7)', async () => {
  const file = await google.configure(directory)
  assert.match(await readFile(join(directory, 'token'), 'utf8'), /\n$/)
  const { source, holder } = await fetchOf({ file })
  assert.equal(holder, principal)
  assert.equal(source.identity(), principal)
  assert.equal(
    source.source(),
    `workload identity federation with ${file} (subject token from ${join(directory, 'token')})`,
  )
})

test('a token file may contain JSON', async () => {
  const token = await write({ access: { x: 1 }, id_token: google.projectedToken() }, 'token.json')
  const format = { type: 'json', subject_token_field_name: 'id_token' }
  const file = await google.configure(directory, { credential_source: { file: token, format } })
  assert.equal((await fetchOf({ file })).holder, principal)
})

test('a URL returns the token as text or JSON for the configured headers', async () => {
  const server = await startWebServer(({ path, headers }, response) => {
    if (headers['x-secret'] !== 'open') return void response.writeHead(403).end()
    const token = google.projectedToken()
    response.end(path.startsWith('/json') ? JSON.stringify({ value: token }) : `${token}\n`)
  })
  const headers = { 'X-Secret': 'open' }
  for (const [path, format] of [
    ['/text?a=b', undefined],
    ['/json?a=b', { type: 'json', subject_token_field_name: 'value' }],
  ] as const) {
    const url = server.url + path
    const file = await google.configure(directory, { credential_source: { url, headers, format } })
    const { source } = await fetchOf({ file })
    assert.match(source.source(), new RegExp(`subject token from ${server.url}/(text|json)\\)`))
  }
  await server.close()
})

test('an executable prints the token if executables are allowed', async () => {
  await write(google.projectedToken(), 'jwt')
  const type = 'urn:ietf:params:oauth:token-type:jwt'
  const program = await write(
    `#!/bin/sh
echo "a warning" >&2
env | grep ^GOOGLE_EXTERNAL > ${directory}/told
echo "{\\"version\\":1,\\"success\\":true,\\"token_type\\":\\"${type}\\",\\"id_token\\":\\"$(cat "$1")\\"}"
`,
    'a program',
  )
  await chmod(program, 0o755)
  const command = `"${program}" "${join(directory, 'jwt')}"`
  const file = await google.configure(directory, { credential_source: { executable: { command } } })
  const executables = { PATH: '/usr/bin:/bin', GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES: '1' }
  assert.equal((await fetchOf({ file, executables })).holder, principal)
  const told = await readFile(join(directory, 'told'), 'utf8')
  assert.match(told, new RegExp(`^GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE=${audience}$`, 'm'))
  assert.match(told, new RegExp(`^GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE=${type}$`, 'm'))
  assert.match(told, /^GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE=0$/m)
})

for (const version of [1, 2] as const)
  test(`an AWS role is proved with a signed request, with IMDSv${version}`, async (t) => {
    const machine = await withAws(t, version)
    const file = await google.configure(directory)
    const { source, holder } = await fetchOf({ file })
    assert.match(holder, /subject\/arn:aws:sts::/)
    assert.equal(source.identity(), audience, 'only Google learns our AWS identity')
    assert.match(source.source(), /subject token from the AWS credentials of this machine/)
    assert.equal(machine.count(/PUT \/latest\/api\/token/) > 0, version === 2)
  })

async function withAws(t: TestContext, version: 1 | 2): Promise<AwsMachine> {
  const machine = await startAwsMachine(version)
  await google.stop()
  google = await startGoogle({ grant: 'direct', aws: machine })
  t.after(machine.stop)
  return machine
}

test('pulls request read-only tokens, pushes request write access', async () => {
  const file = await google.configure(directory)
  await fetchOf({ file, access: 'pull' })
  await fetchOf({ file, access: 'push' })
  const scopes = formsTo('/v1/token').map((form) => form.get('scope'))
  assert.deepEqual(scopes, [readOnly, whole])
})

test('an account is impersonated with the configured scope and lifetime', async (t) => {
  await google.stop()
  google = await startGoogle({ grant: 'impersonation' })
  t.after(google.stop)
  const file = await google.configure(directory, {
    service_account_impersonation: { token_lifetime_seconds: 900 },
  })
  const { source, holder, lifetime } = await fetchOf({ file })
  assert.deepEqual([holder, source.identity()], [account, account])
  assertLifetime(lifetime, 900)
  const [asked] = google.requests.filter(({ path }) => path.includes(':generateAccessToken'))
  assert.deepEqual(JSON.parse(asked?.body ?? ''), { scope: [readOnly], lifetime: '900s' })
  assert.deepEqual(
    formsTo('/v1/token').map((form) => form.get('scope')),
    [whole],
  )
})

test('the metadata server returns the token and its account, without a proxy', async (t) => {
  t.after(() => delete process.env['HTTP_PROXY'])
  process.env['HTTP_PROXY'] = 'http://127.0.0.1:1'
  const { source, holder } = await fetchOf({ metadataHost: google.metadataHost, access: 'push' })
  assert.deepEqual([holder, source.identity()], [account, account])
  assert.equal(source.source(), `the metadata server at ${google.metadataHost}`)
  assert.match(
    source.advice?.('p/r/i') ?? '',
    new RegExp(`^${account} lacks .*; on a machine without GKE, its access scopes`),
  )
  const asked = google.requests.map(({ path }) => new URL(path, google.url))
  const token = asked.find(({ pathname }) => pathname.endsWith('/token'))
  assert.equal(token?.searchParams.get('scopes'), whole)
})

test('a metadata server that does not return the account is not a failure', async (t) => {
  const server = await startWebServer(({ path }, response) => {
    response.setHeader('metadata-flavor', 'Google')
    if (!path.includes('/token')) return void response.writeHead(404).end()
    response.end(JSON.stringify({ access_token: 'ya29.x', expires_in: 600, token_type: 'Bearer' }))
  })
  t.after(server.close)
  const source = sourceOf({ metadataHost: server.host })
  assertLifetime((await source.fetch()).lifetime, 600)
  assert.equal(source.identity(), "the metadata server's default service account")
})

test('a metadata server that never returns the account costs one second, once', async (t) => {
  let asked = 0
  const ended = Promise.withResolvers<void>()
  const server = await startWebServer(({ path }, response) => {
    response.setHeader('metadata-flavor', 'Google')
    if (path.includes('/token'))
      return void response.end(JSON.stringify({ access_token: 'ya29.x', expires_in: 600 }))
    asked += 1
    if (asked > 1) return void response.end(account)
    response.on('close', ended.resolve)
  })
  t.after(server.close)
  const source = sourceOf({ metadataHost: server.host })
  assertLifetime((await source.fetch()).lifetime, 600)
  await ended.promise
  await source.fetch()
  await source.fetch()
  assert.deepEqual([asked, source.identity()], [2, account])
})

test('a user login is refreshed', async () => {
  const file = await write(google.logIn())
  const { source, lifetime } = await fetchOf({ file })
  assertLifetime(lifetime, 3600)
  assert.equal(source.identity(), 'dev@example.com')
  assert.equal(source.source(), `the user login in ${file}`)
})

test("a workforce user's login is refreshed", async () => {
  const { refresh_token, client_id, client_secret } = google.logIn()
  const file = await write({
    type: 'external_account_authorized_user',
    audience: '//iam.googleapis.com/locations/global/workforcePools/staff/providers/idp',
    client_id,
    client_secret,
    refresh_token,
    token_url: `${google.url}/v1/oauthtoken`,
    token_info_url: `${google.url}/v1/introspect`,
  })
  const { source, lifetime } = await fetchOf({ file })
  assertLifetime(lifetime, 3600)
  assert.equal(source.identity(), `the user in ${file}`)
  const [asked] = google.requests
  assert.equal(asked?.headers.authorization, `Basic ${basicOf('client', 'client-secret')}`)
})

test('a user impersonates an account without output on standard error', async (t) => {
  const said = t.mock.method(console, 'warn', () => {})
  const file = await write({
    type: 'impersonated_service_account',
    delegates: [],
    service_account_impersonation_url: impersonationUrl(google.url),
    source_credentials: google.logIn(),
  })
  const { source, holder } = await fetchOf({ file })
  assert.deepEqual([holder, source.identity()], [account, account])
  assert.equal(source.source(), `impersonation of ${account} with the user login in ${file}`)
  const [asked] = google.requests.filter(({ path }) => path.includes(':generateAccessToken'))
  assert.deepEqual(JSON.parse(asked?.body ?? ''), {
    delegates: [],
    scope: [readOnly],
    lifetime: '3600s',
  })
  await fetchOf({ file: await google.configure(directory) })
  assert.equal(said.mock.callCount(), 0)
})

test('in another universe, the JWT that a key signed is the token', async () => {
  const key = { ...google.createKey(), universe_domain: otherUniverse }
  const source = sourceOf({ file: await write(key), host: 'u-germany-docker.pkg.example.goog' })
  const { credential, lifetime } = await source.fetch()
  assertLifetime(lifetime, 3600)
  const token = credential.kind === 'access-token' ? credential.token : ''
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  assert.deepEqual([claims.iss, claims.scope], [account, readOnly])
  assert.equal(google.requests.length, 0, 'no request is sent')
})

test("a pod's token replaces the file's, with the account in the annotation", async (t) => {
  await useNames(t)
  const nothing = join(directory, 'nothing')
  const changes = { token_url: undefined, credential_source: { file: nothing } }
  const file = await google.configure(directory, changes)
  const sub = 'system:serviceaccount:shop:web'
  const token = google.projectedToken({ sub })
  const plain = await fetchOf({ file, workloadToken: { token, annotations: {} } })
  assert.match(plain.source.identity(), /^principal:.*\/subject\/system:serviceaccount:shop:web$/)
  assert.match(plain.source.source(), /subject token from the kubelet/)
  const annotations = { 'iam.gke.io/gcp-service-account': account }
  const annotated = await fetchOf({ file, workloadToken: { token, annotations } })
  assert.deepEqual([annotated.holder, annotated.source.identity()], [account, account])
})

test("a pod's token that cannot be exchanged is an error: the machine's identity is not used", async () => {
  const workloadToken = { token: google.projectedToken(), annotations: {} }
  const source = sourceOf({ metadataHost: google.metadataHost, workloadToken })
  await assert.rejects(
    source.fetch(),
    /cannot exchange the pod's token: no credential file is configured/,
  )
  assert.equal(google.requests.length, 0)
})

test('the account in the configuration takes precedence over the annotation', async (t) => {
  await google.stop()
  google = await startGoogle({ grant: 'impersonation' })
  t.after(google.stop)
  const file = await google.configure(directory)
  const annotations = { 'iam.gke.io/gcp-service-account': 'other@p.iam.gserviceaccount.com' }
  const workloadToken = { token: google.projectedToken(), annotations }
  assert.equal((await fetchOf({ file, workloadToken })).holder, account)
})

test('an annotation that is not an email address is ignored', async () => {
  const file = await google.configure(directory)
  const annotations = { 'iam.gke.io/gcp-service-account': 'x@y/../../evil?' }
  const workloadToken = { token: google.projectedToken(), annotations }
  assert.equal((await fetchOf({ file, workloadToken })).holder, principal)
})

test('a key is exchanged at Google through HTTPS_PROXY', async (t) => {
  const proxy = await useNames(t)
  const { source, holder, lifetime } = await fetchOf({ file: await write(google.createKey()) })
  assert.deepEqual([holder, source.identity()], [account, account])
  assertLifetime(lifetime, 3600)
  assert.equal(
    source.source(),
    `the service account key in ${join(directory, 'configuration.json')}`,
  )
  assert.deepEqual(proxy.requests, ['CONNECT oauth2.googleapis.com:443'])
  const [assertion] = formsTo('/token').map((form) => form.get('assertion') ?? '')
  assert.equal(parseJwt(assertion ?? '')?.claims.scope, readOnly)
})

test('a key is exchanged at its token_uri, for the requested scope, with that audience', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const server = await startWebServer((_seen, response) =>
    sendJson(response, { access_token: 'ya29.key-token', expires_in: 3599, token_type: 'Bearer' }),
  )
  const token_uri = `${server.url}/token`
  const key = { type: 'service_account', client_email: account, private_key: privateKey, token_uri }
  const { credential, lifetime } = await sourceOf({ file: await write(key) }).fetch()
  await server.close()
  assert.equal(credential.kind === 'access-token' && credential.token, 'ya29.key-token')
  assertLifetime(lifetime, 3600)
  const form = new URLSearchParams(server.requests[0]?.body)
  assert.equal(form.get('grant_type'), 'urn:ietf:params:oauth:grant-type:jwt-bearer')
  const [header = '', payload = '', signature = ''] = (form.get('assertion') ?? '').split('.')
  const { iss, aud, scope } = JSON.parse(Buffer.from(payload, 'base64url').toString())
  assert.deepEqual([iss, aud, scope], [account, token_uri, readOnly])
  const signed = Buffer.from(`${header}.${payload}`)
  assert.ok(verify('RSA-SHA256', signed, publicKey, Buffer.from(signature, 'base64url')))
})

test('a client certificate is sent in the TLS handshake, and its chain is the subject token', async (t) => {
  const authority = await createTrustedAuthority('workloads')
  const client = await authority.issue(['DNS:workload'])
  const shown: string[] = []
  let location: string | undefined
  const server = createServer(
    {
      ...pemOf(await authority.issue(['IP:127.0.0.1'])),
      requestCert: true,
      ca: await readFile(authority.file, 'utf8'),
    },
    async (request, response) => {
      const { socket } = request
      if (socket instanceof TLSSocket)
        shown.push(socket.getPeerCertificate().raw?.toString('base64') ?? 'none')
      if (location !== undefined) return void response.writeHead(307, { location }).end()
      const form = new URLSearchParams(await text(request))
      const { token, seconds } = google.accessTokens.issue(form.get('subject_token') ?? '')
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ access_token: token, expires_in: seconds }))
    },
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    server.closeAllConnections()
    server.close()
    await authority.remove()
  })
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : 0
  const [cert_path, key_path] = [
    await write(client.certificate, 'client.pem'),
    await write(client.key, 'client.key'),
  ]
  const workload = { cert_configs: { workload: { cert_path, key_path } } }
  const certificate = { certificate_config_location: await write(workload, 'certificates.json') }
  const file = await google.configure(directory, {
    subject_token_type: 'urn:ietf:params:oauth:token-type:mtls',
    token_url: `https://127.0.0.1:${port}/v1/token`,
    credential_source: { certificate },
  })
  const { source, holder } = await fetchOf({ file })
  const own = new X509Certificate(client.certificate).raw.toString('base64')
  assert.deepEqual(shown, [own])
  assert.deepEqual(JSON.parse(holder), [own])
  assert.match(source.source(), /subject token from a client certificate/)
  location = `${google.url}/v1/token`
  await assert.rejects(
    source.fetch(),
    /^CredentialError: cannot exchange the subject token: .* answered 307/,
  )
  assert.equal(google.requests.length, 0)
})

function pemOf({ certificate, key }: KeyPair) {
  return { cert: certificate, key }
}

test('a key impersonates an account with a wider scope than the resulting token', async (t) => {
  await useNames(t)
  const file = await write({
    type: 'impersonated_service_account',
    service_account_impersonation_url: impersonationUrl('https://iamcredentials.googleapis.com'),
    source_credentials: google.createKey(),
  })
  const { holder } = await fetchOf({ file })
  assert.equal(holder, account)
  const [asked] = google.requests.filter(({ path }) => path.includes(':generateAccessToken'))
  assert.deepEqual(JSON.parse(asked?.body ?? '').scope, [readOnly])
})

test("in another universe, a pod uses that universe's security token service", async (t) => {
  const proxy = await useNames(t)
  const token_url = undefined
  const file = await google.configure(directory, { token_url, universe_domain: otherUniverse })
  assert.equal((await fetchOf({ file })).holder, principal)
  assert.deepEqual(proxy.requests, [`CONNECT sts.${otherUniverse}:443`])
})

/** Google by its own names instead of its address. */
async function useNames(t: TestContext): Promise<ConnectProxy> {
  await google.stop()
  const named = await startGoogleByName(t)
  google = named.google
  return named.proxy
}

test('STS and impersonation work through a proxy without a scheme and with a private certificate authority (C193)', async (t) => {
  await google.stop()
  const authority = await createAuthority('the company')
  const tls = await authority.issue(['DNS:sts.googleapis.com', 'DNS:iamcredentials.googleapis.com'])
  google = await startGoogle({ grant: 'impersonation', tls })
  const proxy = await startConnectProxy({ route: () => ({ host: '127.0.0.1', port: google.port }) })
  t.after(() => Promise.all([proxy.close(), authority.remove()]))
  const outbound = createOutbound({
    proxy: { https: new URL(proxy.url).host, no: '10.0.0.0/8' },
    certificates: { file: authority.file },
  })
  const file = await google.configure(directory, {
    token_url: undefined,
    service_account_impersonation_url: impersonationUrl('https://iamcredentials.googleapis.com'),
  })
  assert.equal((await fetchOf({ file, outbound })).holder, account)
  assert.deepEqual(proxy.requests, [
    'CONNECT sts.googleapis.com:443',
    'CONNECT iamcredentials.googleapis.com:443',
  ])
})
