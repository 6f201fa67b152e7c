import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { createGoogleSource } from '../../../src/credentials/google/google.ts'
import { keepFresh } from '../../../src/credentials/keep-fresh.ts'
import { createCanaries } from '../../support/canaries.ts'
import { tellingTelemetry } from '../../support/remotes.ts'
import {
  type Answering,
  sendJson,
  startWebServer,
  type WebServer,
} from '../../support/web-server.ts'

const canaries = createCanaries()
const { telemetry, lines } = tellingTelemetry()
const told: string[] = []
const account = 'puller@project.iam.gserviceaccount.com'
const audience =
  '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/cluster'

let directory: string
let cloud: WebServer
let subjectToken: string
let stsToken: string

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'berth-google-'))
})
after(async () => {
  await rm(directory, { recursive: true, force: true })
  await canaries.assertUnseen({ texts: [...lines, ...told, await telemetry.metrics.text()] })
})
beforeEach(async () => {
  subjectToken = canaries.secret('subject')
  stsToken = canaries.secret('sts')
  await writeFile(join(directory, 'token'), subjectToken)
  cloud = await startWebServer(answerRightly)
})
afterEach(async () => {
  delete process.env['GCE_METADATA_HOST']
  await cloud.close()
})

const answerRightly: Answering = (seen, response) => {
  if (seen.path === '/v1/token')
    return sendJson(response, {
      access_token: stsToken,
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: 3600,
    })
  if (seen.path.includes(':generateAccessToken'))
    return sendJson(response, {
      accessToken: `impersonated-${stsToken}`,
      expireTime: new Date(Date.now() + 1800_000).toISOString(),
    })
  if (seen.path.startsWith('/computeMetadata/v1/instance/service-accounts/default/token')) {
    response.setHeader('metadata-flavor', 'Google')
    return sendJson(response, { access_token: stsToken, expires_in: 600, token_type: 'Bearer' })
  }
  sendJson(response, {}, 404)
}

async function configure(content: Readonly<Record<string, unknown>>): Promise<string> {
  const file = join(directory, 'configuration.json')
  await writeFile(file, JSON.stringify(content))
  return file
}

function federated(extra: Readonly<Record<string, unknown>> = {}) {
  return configure({
    type: 'external_account',
    audience,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: `${cloud.url}/v1/token`,
    credential_source: { file: join(directory, 'token') },
    ...extra,
  })
}

const impersonating = () => ({
  service_account_impersonation_url: `${cloud.url}/v1/projects/-/serviceAccounts/${account}:generateAccessToken`,
})

function assertLifetime(lifetime: number | undefined, seconds: number): void {
  assert.ok(lifetime !== undefined && Math.abs(lifetime - seconds * 1000) < 60_000, `${lifetime}`)
}

async function failureOf(source: ReturnType<typeof createGoogleSource>): Promise<string> {
  const credentials = keepFresh(source, { upstream: 'up', telemetry })
  const message = await credentials.current().then(
    () => 'it did not fail',
    (error: unknown) => (error instanceof Error ? error.message : ''),
  )
  credentials.close()
  told.push(message)
  return message
}

test("a pod's token is exchanged for an access token with the read-only scope", async () => {
  const source = createGoogleSource({
    access: 'pull',
    host: 'us-docker.pkg.dev',
    file: await federated(),
    optional: false,
  })
  const { credential, lifetime } = await source.fetch()
  assert.deepEqual(credential, {
    kind: 'access-token',
    username: 'oauth2accesstoken',
    token: stsToken,
  })
  assertLifetime(lifetime, 3600)
  const [asked] = cloud.requests
  const body = new URLSearchParams(asked?.body)
  assert.equal(body.get('audience'), audience)
  assert.equal(body.get('subject_token'), subjectToken)
  assert.equal(body.get('scope'), 'https://www.googleapis.com/auth/cloud-platform.read-only')
  assert.equal(source.identity(), audience)
})

test('the configured service account is impersonated, and is our identity', async () => {
  const source = createGoogleSource({
    access: 'pull',
    host: 'us-docker.pkg.dev',
    file: await federated(impersonating()),
    optional: false,
  })
  const { credential, lifetime } = await source.fetch()
  assert.equal(credential.kind === 'access-token' && credential.token, `impersonated-${stsToken}`)
  assertLifetime(lifetime, 1800)
  assert.equal(source.identity(), account)
  const [, impersonation] = cloud.requests
  assert.equal(impersonation?.headers['authorization'], `Bearer ${stsToken}`)
  assert.deepEqual(JSON.parse(impersonation?.body ?? '').scope, [
    'https://www.googleapis.com/auth/cloud-platform.read-only',
  ])
})

test('each exchange reads the token again, because Kubernetes rotates it', async () => {
  const source = createGoogleSource({
    access: 'pull',
    host: 'us-docker.pkg.dev',
    file: await federated(),
    optional: false,
  })
  await source.fetch()
  const rotated = canaries.secret('subject')
  await writeFile(join(directory, 'token'), rotated)
  await source.fetch()
  const sent = cloud.requests.map(({ body }) => new URLSearchParams(body).get('subject_token'))
  assert.deepEqual(sent, [subjectToken, rotated])
})

test('the metadata server at GCE_METADATA_HOST is used', async () => {
  process.env['GCE_METADATA_HOST'] = cloud.host
  const source = createGoogleSource({
    access: 'pull',
    host: 'us-docker.pkg.dev',
    metadataHost: cloud.host,
    optional: false,
  })
  const { credential, lifetime } = await source.fetch()
  assert.equal(credential.kind === 'access-token' && credential.token, stsToken)
  assertLifetime(lifetime, 600)
  assert.equal(source.identity(), "the metadata server's default service account")
  assert.equal(cloud.requests[0]?.headers['metadata-flavor'], 'Google')
})

test('a token whose lifetime is a text or missing is accepted', async () => {
  const source = createGoogleSource({
    access: 'pull',
    host: 'us-docker.pkg.dev',
    metadataHost: cloud.host,
    optional: false,
  })
  for (const [life, lifetime] of [
    ['600', 600_000],
    [undefined, undefined],
  ]) {
    cloud.answer((_seen, response) => {
      response.setHeader('metadata-flavor', 'Google')
      sendJson(response, { access_token: stsToken, expires_in: life, token_type: 'Bearer' })
    })
    assert.equal((await source.fetch()).lifetime, lifetime)
  }
})

test('a token that an HTTP header cannot contain is rejected', async () => {
  const source = createGoogleSource({
    access: 'pull',
    host: 'us-docker.pkg.dev',
    file: await federated(),
    optional: false,
  })
  for (const token of ['a\r\nb: c', 'a b', '', 7, null]) {
    cloud.answer((_seen, response) =>
      sendJson(response, { access_token: token, expires_in: 3600, token_type: 'Bearer' }),
    )
    await assert.rejects(source.fetch(), /answered without an access token/, String(token))
  }
})

test('no redirect is followed, because a credential is meant for one service only (INV 4)', async () => {
  const elsewhere = await startWebServer((_seen, response) => sendJson(response, {}))
  try {
    const source = createGoogleSource({
      access: 'pull',
      host: 'us-docker.pkg.dev',
      file: await federated(impersonating()),
      optional: false,
    })
    for (const path of ['/v1/token', ':generateAccessToken']) {
      cloud.answer((seen, response) => {
        if (!seen.path.includes(path)) return answerRightly(seen, response)
        response.writeHead(307, { location: `${elsewhere.url}/` }).end()
      })
      await assert.rejects(source.fetch(), /answered 307/, path)
    }
    assert.deepEqual(elsewhere.requests, [])
  } finally {
    await elsewhere.close()
  }
})

test('no file and no metadata server is an error, unless credentials are optional', async () => {
  const required = createGoogleSource({
    access: 'pull',
    host: 'us-docker.pkg.dev',
    optional: false,
  })
  await assert.rejects(required.fetch(), /no credential file .* no metadata server/)
  const optional = createGoogleSource({ access: 'pull', host: 'us-docker.pkg.dev', optional: true })
  assert.deepEqual(await optional.fetch(), { credential: { kind: 'anonymous' } })
  assert.equal(optional.identity(), 'anonymous')
})

test('a failed exchange is an error even if credentials are optional (INV 5)', async () => {
  cloud.answer((_seen, response) => sendJson(response, { error: 'invalid_grant' }, 400))
  const file = await federated()
  assert.match(
    await failureOf(
      createGoogleSource({ access: 'pull', host: 'us-docker.pkg.dev', file, optional: true }),
    ),
    /no credential for up as .*invalid_grant/,
  )
  process.env['GCE_METADATA_HOST'] = cloud.host
  const source = createGoogleSource({
    access: 'pull',
    host: 'us-docker.pkg.dev',
    metadataHost: cloud.host,
    optional: true,
  })
  assert.match(await failureOf(source), /no credential for up as the metadata server's/)
})

test('an error contains the identity, and no token (K112)', async () => {
  cloud.answer((seen, response) => {
    if (seen.path === '/v1/token') return answerRightly(seen, response)
    sendJson(response, { error: { code: 403, message: 'Permission denied', status: 'X' } }, 403)
  })
  const file = await federated(impersonating())
  assert.match(
    await failureOf(
      createGoogleSource({ access: 'pull', host: 'us-docker.pkg.dev', file, optional: false }),
    ),
    /no credential for up as puller@project\.iam\.gserviceaccount\.com: .*denied/i,
  )
})

test("a pod's token that an error repeats is redacted", async () => {
  const jwt = `eyJhbGciOiJSUzI1NiJ9.${canaries.secret('jwt')}.${canaries.secret('signature')}`
  await writeFile(join(directory, 'token'), jwt)
  cloud.answer(({ body }, response) => {
    const error_description = `cannot use ${new URLSearchParams(body).get('subject_token')}`
    sendJson(response, { error: 'invalid_grant', error_description }, 400)
  })
  const file = await federated()
  assert.match(
    await failureOf(
      createGoogleSource({ access: 'pull', host: 'us-docker.pkg.dev', file, optional: false }),
    ),
    /invalid_grant/,
  )
})

test('a missing file, a missing token file and a file of another type are errors', async () => {
  const missing = join(directory, 'missing.json')
  assert.match(
    await failureOf(
      createGoogleSource({
        access: 'pull',
        host: 'us-docker.pkg.dev',
        file: missing,
        optional: true,
      }),
    ),
    /ENOENT/,
  )
  const file = await federated({ credential_source: { file: missing } })
  assert.match(
    await failureOf(
      createGoogleSource({ access: 'pull', host: 'us-docker.pkg.dev', file, optional: true }),
    ),
    /cannot read the subject token in .*missing\.json: ENOENT; mount a projected volume/,
  )
  const other = await configure({ installed: { client_id: 'x' } })
  assert.match(
    await failureOf(
      createGoogleSource({
        access: 'pull',
        host: 'us-docker.pkg.dev',
        file: other,
        optional: true,
      }),
    ),
    /does not have the expected content: type/,
  )
})
