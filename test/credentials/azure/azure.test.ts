import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, type TestContext, test } from 'node:test'
import { createAzureSource } from '../../../src/credentials/azure/azure.ts'
import type { AzureOptions } from '../../../src/credentials/azure/login.ts'
import type { CredentialSource } from '../../../src/credentials/credential.ts'
import { CredentialError } from '../../../src/credentials/credential-error.ts'
import { createOutbound } from '../../../src/outbound/outbound.ts'
import { redact } from '../../../src/telemetry/telemetry.ts'
import {
  type Azure,
  audience,
  type ContainerRegistry,
  startAzure,
  startContainerRegistry,
  subject,
} from '../../support/azure.ts'
import { createAuthority } from '../../support/certificates.ts'
import { startConnectProxy } from '../../support/connect-proxy.ts'
import { ownDirectory } from '../../support/directory.ts'
import { decode } from '../../support/jwt.ts'
import { type ObjectStore, startObjectStore } from '../../support/object-store.ts'

let azure: Azure
let storage: ObjectStore
let registry: ContainerRegistry
let directory: string
/** Everything that was told to people. */
let told: string[]

before(async () => {
  storage = await startObjectStore()
})
after(() => storage.stop())
beforeEach(async (t) => {
  if (!('mock' in t)) return
  azure = await startAzure()
  registry = await startContainerRegistry({ azure, storage })
  directory = await ownDirectory(t)
  told = []
})
afterEach(async () => {
  for (const secret of [
    ...azure.tokens(),
    ...registry.tokens(),
    azure.application.secret,
    azure.identityHeader,
  ])
    for (const text of told) assert.ok(!text.includes(secret), `a secret is in: ${text}`)
  await Promise.all([azure.stop(), registry.stop()])
})

function open(options: Partial<AzureOptions>): CredentialSource {
  return createAzureSource({ origin: registry.url, ...options })
}

function secretOptions(): Partial<AzureOptions> {
  const { tenantId, application, entra } = azure
  const { clientId, secret } = application
  return { tenantId, clientId, clientSecret: secret, authorityHost: entra.url }
}

async function federation(token = azure.issuer.issue()): Promise<Partial<AzureOptions>> {
  const federatedTokenFile = join(directory, 'token')
  await writeFile(federatedTokenFile, token)
  return { ...secretOptions(), clientSecret: undefined, federatedTokenFile }
}

/** What the source fetched: a refresh token of the registry, in the name of `objectId`. */
async function fetchToken(source: CredentialSource, { objectId } = azure.application) {
  const { credential, lifetime } = await source.fetch()
  told.push(source.identity(), source.source())
  assert.ok(credential.kind === 'identity-token')
  assert.equal(credential.username, '00000000-0000-0000-0000-000000000000')
  assert.equal(decode(credential.token)['oid'], objectId)
  return { token: credential.token, lifetime }
}

/** Rejects with this message and advice. */
async function refuse(source: CredentialSource, message: RegExp, advice: RegExp) {
  const error: unknown = await source.fetch().catch((thrown: unknown) => thrown)
  assert.ok(error instanceof CredentialError, String(error))
  told.push(error.message, error.advice ?? '')
  assert.match(error.message, message)
  assert.match(error.advice ?? '', advice)
  assert.equal(redact(error.advice ?? ''), error.advice, 'redaction must not change the advice')
  return error
}

describe('ways to log in', () => {
  test('a client secret is exchanged for a refresh token of the registry with its stated lifetime', async () => {
    const source = open(secretOptions())
    assert.equal(source.identity(), `application ${azure.application.clientId}`)
    const { lifetime } = await fetchToken(source)
    assert.equal(lifetime, 10_800_000)
    const { clientId, objectId } = azure.application
    assert.equal(source.identity(), `application ${clientId} (object ${objectId})`)
    assert.equal(
      source.source(),
      `the client secret in $AZURE_CLIENT_SECRET, at ${azure.entra.url}`,
    )
  })

  test('a secret in a file is read at each exchange, without its trailing newline', async () => {
    const clientSecretFile = join(directory, 'secret')
    await writeFile(clientSecretFile, `${azure.application.secret}\n`)
    const source = open({
      ...secretOptions(),
      clientSecret: 'of another program',
      clientSecretFile,
    })
    await fetchToken(source)
    azure.application.secret = 'canary-rotated-secret'
    await writeFile(clientSecretFile, azure.application.secret)
    await fetchToken(source)
    assert.match(source.source(), /the client secret in .*secret, at http/)
  })

  test('the service account token is read at each exchange, because the kubelet renews it', async () => {
    const source = open(await federation())
    await fetchToken(source)
    const renewed = azure.issuer.issue({ jti: 'renewed' })
    await federation(`${renewed}\n`)
    await fetchToken(source)
    const { body } = azure.entra.requests[1] ?? { body: '' }
    assert.equal(new URLSearchParams(body).get('client_assertion'), renewed)
    assert.match(source.source(), /workload identity with .*token, at http/)
  })

  test("the kubelet's token replaces the file, and annotations select the identity", async () => {
    const { clientId, tenantId } = secretOptions()
    const source = open({
      ...(await federation('not this one')),
      tenantId: 'of the node',
      clientId: 'of the node',
      clientSecret: 'of the node',
      workloadToken: {
        token: azure.issuer.issue(),
        annotations: {
          'azure.workload.identity/client-id': clientId ?? '',
          'azure.workload.identity/tenant-id': tenantId ?? '',
        },
      },
    })
    await fetchToken(source)
    assert.match(source.source(), /workload identity with the token from the kubelet/)
  })

  test("the default is the machine's managed identity, without a proxy", async () => {
    const [assigned] = azure.assigned
    const proxy = { http: 'http://127.0.0.1:9', https: 'http://127.0.0.1:9' }
    const source = open({ metadataHost: azure.machine.url, outbound: createOutbound({ proxy }) })
    assert.equal(source.identity(), 'the managed identity of this machine')
    await fetchToken(source, assigned)
    assert.match(source.identity(), new RegExp(`^managed identity ${assigned?.clientId} \\(object`))
    assert.equal(source.source(), `the managed identity of this machine at ${azure.machine.url}`)
    const [{ path = '' } = {}] = azure.machine.requests
    assert.match(path, /resource=https%3A%2F%2Fcontainerregistry.azure.net/)
    assert.doesNotMatch(path, /client_id/)
  })

  test('with several managed identities, the configured one is requested', async () => {
    azure.assigned.push({ ...azure.application })
    const { clientId } = azure.application
    await fetchToken(open({ metadataHost: azure.machine.url, clientId }))
    await refuse(
      open({ metadataHost: azure.machine.url }),
      /answered 400: invalid_request: Multiple user assigned identities exist/,
      /set upstreams\[\]\.credentials\.clientId to the one that may pull/,
    )
  })

  test("App Service's endpoint is used with its secret header if it is configured", async () => {
    const options = {
      identityEndpoint: `${azure.machine.url}/msi/token`,
      metadataHost: 'http://127.0.0.1:9',
    }
    const { identityHeader } = azure
    const source = open({ ...options, identityHeader })
    await fetchToken(source, azure.assigned[0])
    assert.match(source.source(), /the managed identity of App Service at/)
    await refuse(
      open({ ...options, identityHeader: 'wrong' }),
      /answered 400: The required header was not found/,
      /this machine has no managed identity/,
    )
  })

  test("if a tenant does not know the registry audience, the resource manager's is used", async () => {
    azure.resources.delete('https://containerregistry.azure.net')
    await fetchToken(open(secretOptions()))
    const scopes = azure.entra.requests.map(({ body }) => new URLSearchParams(body).get('scope'))
    assert.deepEqual(scopes, [
      'https://containerregistry.azure.net/.default',
      'https://management.azure.com/.default',
    ])
    await fetchToken(open({ metadataHost: azure.machine.url }), azure.assigned[0])
    assert.equal(azure.machine.requests.length, 2)
  })

  test("the Entra ID of the registry's cloud is used, unless another is configured", () => {
    const sourceFor = (origin: string, authorityHost?: string) =>
      createAzureSource({ ...secretOptions(), origin, authorityHost })
        .source()
        .split(' at ')[1]
    assert.equal(sourceFor('https://x.azurecr.io'), 'https://login.microsoftonline.com')
    assert.equal(sourceFor('https://x.azurecr.cn'), 'https://login.chinacloudapi.cn')
    assert.equal(sourceFor('https://x.azurecr.us'), 'https://login.microsoftonline.us')
    assert.equal(sourceFor('https://x.azurecr.us', 'login.example/'), 'https://login.example')
  })

  test('a forward proxy is used for Entra ID, except for hosts in NO_PROXY', async (t) => {
    const proxy = await startConnectProxy({
      route: () => ({ host: '127.0.0.1', port: azure.entra.port }),
    })
    t.after(() => proxy.close())
    const at = (authorityHost: string, no?: string) =>
      open({
        ...secretOptions(),
        authorityHost,
        outbound: createOutbound({ proxy: { http: proxy.url, https: proxy.url, no } }),
      })
    // The proxy answers plain requests by itself; a tunnel ends at what speaks no TLS.
    await assert.rejects(at('http://entra.test').fetch(), /answered without an access token/)
    await assert.rejects(at('https://entra.test').fetch(), /cannot reach https:\/\/entra\.test/)
    const path = `${azure.tenantId}/oauth2/v2.0/token`
    assert.deepEqual(proxy.requests, [`POST http://entra.test/${path}`, 'CONNECT entra.test:443'])
    const excepted = at('http://entra.test', '.test')
    await refuse(excepted, /cannot reach http:\/\/entra\.test: its name/, /set HTTPS_PROXY/)
    // So is this machine, where Entra and the registry are here, always.
    await fetchToken(at(azure.entra.url))
    assert.equal(proxy.requests.length, 2)
  })
})

describe('Entra ID rejects', () => {
  const entra = (code: number) => new RegExp(`answered 40[01]: \\w+: AADSTS${code}: [^\\n]*$`)

  test('an unknown application', async () => {
    await refuse(
      open({ ...secretOptions(), clientId: 'unknown' }),
      entra(700016),
      new RegExp(`tenant ${azure.tenantId} has no application unknown`),
    )
  })

  test('an unknown tenant', async () => {
    await refuse(
      open({ ...secretOptions(), tenantId: 'no/../where' }),
      entra(90002),
      /there is no tenant no\/\.\.\/where in this cloud: .*az account show/,
    )
  })

  test('a wrong or expired secret', async () => {
    const clientSecret = 'canary-wrong-secret'
    const wrong = await refuse(
      open({ ...secretOptions(), clientSecret }),
      entra(7000215),
      /\$AZURE_CLIENT_SECRET does not contain a secret of application .*az ad app credential reset --id/,
    )
    assert.ok(!wrong.message.includes(clientSecret))
    assert.doesNotMatch(wrong.message, /Trace ID|Correlation/)
    azure.application.secretExpired = true
    await refuse(open(secretOptions()), entra(7000222), /has expired\. Create a new one: az ad app/)
  })

  test('an untrusted service account: the advice contains all claims that must match', async () => {
    azure.application.federated = [
      { issuer: azure.issuer.url, subject: 'system:serviceaccount:a:b', audience },
    ]
    const error = await refuse(
      open(await federation()),
      entra(700213),
      new RegExp(`issuer ${azure.issuer.url}, the subject ${subject} and the audience ${audience}`),
    )
    assert.match(
      error.advice ?? '',
      new RegExp(
        `az identity federated-credential create .* --issuer ${azure.issuer.url} --subject ${subject} --audiences ${audience}`,
      ),
    )
    assert.match(error.advice ?? '', /az ad app federated-credential create --id/)
  })

  test('an untrusted audience or issuer', async () => {
    const { issue } = azure.issuer
    const wrong = issue({ aud: ['https://kubernetes.default.svc'] })
    await refuse(
      open(await federation(wrong)),
      entra(700212),
      /audience https:\/\/kubernetes\.default\.svc \(normally api:/,
    )
    const foreign = issue({ iss: 'https://other.example' })
    await refuse(open(await federation(foreign)), entra(700211), /issuer https:\/\/other\.example/)
  })

  test('an expired token, or one with a wrong signature', async () => {
    const old = azure.issuer.issue({}, -60)
    await refuse(
      open(await federation(old)),
      entra(700024),
      /has expired, or the clock of this machine is wrong/,
    )
    await refuse(
      open(await federation(azure.issuer.forge())),
      entra(700027),
      /look up AADSTS700027/,
    )
  })

  test('missing configuration and unreadable files are reported before any request', async () => {
    const { tenantId, ...rest } = secretOptions()
    await refuse(
      open(rest),
      /^tenantId is not configured/,
      /set upstreams\[\]\.credentials\.tenantId, or \$AZURE_TENANT_ID/,
    )
    const { clientId, ...others } = secretOptions()
    await refuse(
      open(others),
      /^clientId is not configured/,
      /annotation azure\.workload\.identity\/client-id/,
    )
    const missing = join(directory, 'missing')
    const { clientSecret, ...plain } = secretOptions()
    await refuse(
      open({ ...plain, clientSecretFile: missing }),
      /^cannot read .*: ENOENT/,
      /set upstreams\[\]\.credentials\.clientSecretFile to a file/,
    )
    await refuse(
      open({ ...plain, federatedTokenFile: missing }),
      /^cannot read .*: ENOENT/,
      /set upstreams\[\]\.credentials\.federatedTokenFile to a file/,
    )
    await refuse(open(await federation(' \n')), /is empty/, /write a value into the file/)
    await refuse(
      open({ ...secretOptions(), authorityHost: 'http://' }),
      /is not a URL/,
      /AZURE_AUTHORITY_HOST/,
    )
    assert.equal(azure.entra.requests.length, 0)
    assert.ok(tenantId && clientId && clientSecret)
  })

  test('errors, hangs and invalid answers of Entra ID are reported', async () => {
    const source = open(secretOptions())
    azure.fail('entra', { status: 503, body: '<html>' })
    await refuse(source, /\/\/127\.0\.0\.1:\d+ answered 503$/, /Berth retries/)
    azure.fail('entra', { status: 200, body: { token_type: 'Bearer' } })
    await assert.rejects(source.fetch(), /answered without an access token/)
    azure.fail('entra', { status: 302, headers: { location: registry.url } })
    await assert.rejects(source.fetch(), /answered 302/)
    assert.equal(registry.requests.length, 0, 'no redirect is followed')
    azure.fail('entra', 'hang')
    await refuse(
      source,
      /cannot reach http.*: no answer within 4\.5 seconds/,
      /allow connections to 127/,
    )
    await azure.entra.stop()
    await refuse(source, /cannot reach http:\/\/127.*: connection refused/, /egress rules/)
  })

  test('messages redact secrets that Entra ID repeats', async () => {
    const { application } = azure
    azure.fail('entra', {
      status: 400,
      body: { error: 'odd', error_description: `got ${application.secret}\nand more` },
    })
    const error = await refuse(open(secretOptions()), /answered 400: odd: got \[redacted\]$/, /./)
    assert.ok(error.message.length < 500)
  })

  test('for an unknown code, the advice contains the page that explains it', async () => {
    azure.fail('entra', {
      status: 400,
      body: { error: 'odd', error_description: 'AADSTS999999: New.' },
    })
    const { advice = '' } = await refuse(
      open(secretOptions()),
      /AADSTS999999/,
      /look up AADSTS999999/,
    )
    assert.equal(redact(advice), advice)
  })
})

describe('the metadata service fails', () => {
  test('because no identity, or not the configured one, is assigned', async () => {
    azure.assigned.length = 0
    const options = { metadataHost: azure.machine.url }
    await refuse(
      open(options),
      /answered 400: invalid_request: Identity not found/,
      /this machine has no managed identity/,
    )
    await refuse(
      open({ ...options, clientId: 'x' }),
      /Identity not found/,
      /managed identity x is not assigned to this machine/,
    )
  })

  test('because it throttles, is being updated or is broken', async () => {
    const source = open({ metadataHost: azure.machine.url })
    for (const [status, advice] of [
      [404, /being updated/],
      [410, /being updated/],
      [429, /too many requests/],
      [500, /Berth retries/],
      [403, /rejects requests from Berth/],
    ] as const) {
      azure.fail('machine', { status })
      await refuse(source, new RegExp(`answered ${status}$`), advice)
    }
  })

  test('because there is none: the advice lists the other ways to log in', async () => {
    await azure.machine.stop()
    await refuse(
      open({ metadataHost: azure.machine.url }),
      /connection refused/,
      /set federatedTokenFile, tenantId and clientId/,
    )
  })

  test('because its address drops packets: the request ends soon', async (t) => {
    const hole = await startHole(t)
    await refuse(open({ metadataHost: hole }), /no connection within the time limit/, /169\.254/)
  })
})

describe('the registry rejects', () => {
  test('an identity without a role: the advice contains the command that assigns it (A112)', async () => {
    registry.readers.clear()
    const error = await refuse(
      open(secretOptions()),
      /^cannot exchange the Entra ID token .*\/oauth2\/exchange answered 401: UNAUTHORIZED: authentication required/,
      new RegExp(
        `az role assignment create --assignee ${azure.application.objectId} --role AcrPull`,
      ),
    )
    assert.match(error.advice ?? '', new RegExp(`belongs to tenant ${azure.tenantId}$`))
    assert.ok(error.denied)
  })

  test('an address that its network rules block', async () => {
    const message =
      "client with IP '203.0.113.10' is not allowed access, refer https://aka.ms/acr/firewall to grant access"
    registry.fail('exchange', { status: 403, body: { errors: [{ code: 'DENIED', message }] } })
    const error = await refuse(
      open(secretOptions()),
      /answered 403: DENIED: client with IP/,
      /az acr network-rule add .* --ip-address 203\.0\.113\.10/,
    )
    assert.ok(!error.denied)
  })

  test('a request to another host, a token of another kind, and requests while it fails', async () => {
    const source = open(secretOptions())
    for (const [status, advice] of [
      [404, /is not an Azure Container Registry/],
      [400, /az acr config authentication-as-arm show/],
      [429, /Berth retries/],
      [502, /az acr check-health/],
    ] as const) {
      registry.fail('exchange', { status })
      await refuse(source, new RegExp(`answered ${status}$`), advice)
    }
    registry.fail('exchange', { status: 200, body: {} })
    await assert.rejects(source.fetch(), /answered without a refresh token/)
    await registry.stop()
    await refuse(source, /cannot reach .*connection refused/, /allow connections to 127/)
  })

  test('nothing, but its certificate is unknown until certificateAuthorities contains its authority', async (t) => {
    const authority = await createAuthority('registry')
    const tls = await authority.issue(['IP:127.0.0.1'])
    const secure = await startContainerRegistry({ azure, storage, tls })
    t.after(() => Promise.all([secure.stop(), authority.remove()]))
    const { url: origin } = secure
    await refuse(
      open({ ...secretOptions(), origin }),
      /cannot reach https:.*: TLS: .*certificate.* \(upstreams\[\]\.certificateAuthorities adds a private certificate authority\)/,
      /./,
    )
    assert.equal(secure.requests.length, 0)
    await fetchToken(open({ ...secretOptions(), origin, certificateAuthorities: authority.file }))
    const missing = open({ ...secretOptions(), origin, certificateAuthorities: '/no/file' })
    await refuse(missing, /cannot read \/no\/file/, /to a PEM file/)
  })

  test("and redirects: the token of Entra ID goes to the registry's own origin only", async () => {
    registry.fail('exchange', {
      status: 307,
      headers: { location: `${storage.url}/oauth2/exchange` },
    })
    const before = storage.requests.length
    await refuse(open(secretOptions()), /answered 307/, /./)
    assert.equal(storage.requests.length, before)
  })
})

describe('access advice', () => {
  const accessAdvice = (origin: string, repository: string) =>
    createAzureSource({ origin, clientId: 'the-client' }).advice?.(repository) ?? ''

  test('contains the command for this registry, repository and identity', () => {
    const advice = accessAdvice('https://contoso.azurecr.io', 'team/app')
    assert.match(
      advice,
      /^grant the-client the role AcrPull on registry contoso to pull team\/app: /,
    )
    assert.ok(
      advice.includes(
        'az role assignment create --assignee the-client --role AcrPull --scope $(az acr show -n contoso --query id -o tsv)',
      ),
    )
    assert.ok(advice.includes('--role "Container Registry Repository Reader"'))
  })

  test('contains another role for pushes and deletions', () => {
    const { advice } = createAzureSource({ origin: 'https://contoso.azurecr.io', clientId: 'x' })
    assert.match(advice?.('a', 'push') ?? '', /AcrPush on registry contoso to push a.*Writer/)
    assert.match(advice?.('a', 'delete') ?? '', /AcrDelete .* to delete from a.*Contributor/)
  })

  test('contains the name of the registry for az', () => {
    assert.match(accessAdvice('https://contoso-a1b2c3.azurecr.cn', ''), /on registry contoso: /)
    assert.match(accessAdvice('https://registry.contoso.com', ''), /on registry NAME: /)
  })
})

/** A listener that accepts nobody, and has as many waiting as it may. */
async function startHole(t: TestContext): Promise<string> {
  const script = `
    const server = require('node:net').createServer()
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      require('node:fs').writeSync(1, String(server.address().port))
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000)
    })`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [bytes] = (await once(child.stdout, 'data')) as [Buffer]
  const port = Number(bytes.toString())
  const waiting = [1, 2, 3].map(() => connect(port, '127.0.0.1').on('error', () => {}))
  t.after(() => {
    for (const socket of waiting) socket.destroy()
    child.kill('SIGKILL')
  })
  await Promise.all(waiting.slice(0, 2).map((socket) => once(socket, 'connect')))
  return `http://127.0.0.1:${port}`
}
