import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { type ArtifactRegistry, startArtifactRegistry } from '../support/artifact-registry.ts'
import { eventually } from '../support/berth.ts'
import { type Canaries, createCanaries } from '../support/canaries.ts'
import { codeOf, get, type Reply } from '../support/client.ts'
import { type Google, type GoogleOptions, principal, startGoogle } from '../support/google.ts'
import { account } from '../support/google-accounts.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import { useBerth } from '../support/use-berth.ts'

const name = 'my-project/my-repository/team/app'
const other = 'my-project/other-repository/app'

let directory: string
let google: Google
let registry: ArtifactRegistry
const berth = useBerth({ check: assertNoSecretSeen })
let image: Image
let otherImage: Image
let canaries: Canaries
/** All responses to `request`. */
let replies: Reply[]

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'berth-google-'))
  canaries = createCanaries()
  replies = []
  image = makeImage()
  otherImage = makeImage()
  await startClouds({ grant: 'impersonation' })
})
afterEach(async () => {
  await registry.stop()
  await google.stop()
  await rm(directory, { recursive: true, force: true })
})

async function startClouds(options: GoogleOptions): Promise<void> {
  await registry?.stop()
  await google?.stop()
  google = await startGoogle(options)
  registry = await startArtifactRegistry({ accessTokens: google.accessTokens })
  registry.put(name, 'v1', image)
  registry.put(other, 'v1', otherImage)
}

type Start = {
  readonly credentials?: Readonly<Record<string, unknown>>
  readonly environment?: Readonly<Record<string, string>>
  readonly tags?: Readonly<Record<string, unknown>>
}

async function start({ credentials = {}, environment = {}, tags = {} }: Start = {}): Promise<void> {
  const upstream = { url: registry.url, credentials: { type: 'google', ...credentials }, tags }
  await berth.start({ config: { upstreams: [upstream] }, environment })
}

/** A Berth with a credential configuration for the pod's token. */
async function startFederated(tags: object = {}): Promise<void> {
  await start({ credentials: { file: await google.configure(directory) }, tags: { ...tags } })
}

async function ask(path: string): Promise<Reply> {
  const reply = await get(`${berth.url}/v2/${path}`)
  replies.push(reply)
  return reply
}

async function readiness(): Promise<string> {
  const reply = await get(`${berth.admin}/readyz`)
  replies.push(reply)
  assert.equal(reply.status, 200, 'the cache can serve, so it is ready')
  return reply.body.toString()
}

/** Tokens are nowhere but in requests to their own services. */
async function assertNoSecretSeen(): Promise<void> {
  const tokens = google.accessTokens.all()
  for (const token of tokens) canaries.add(token)
  const subject = await readFile(join(directory, 'token'), 'utf8').catch(() => '')
  if (subject !== '') canaries.add(subject.trim())
  canaries.add('client-secret')
  await canaries.assertUnseen({
    berths: [berth],
    replies,
    texts: [await berth.service.telemetry.metrics.text()],
    strangers: [{ ...registry, knows: tokens }],
  })
}

async function assertRefused(path: string, wanted: RegExp): Promise<void> {
  const reply = await ask(path)
  assert.deepEqual([reply.status, codeOf(reply)], [403, 'DENIED'], reply.body.toString())
  assert.match(reply.body.toString(), wanted)
}

/** Without a credential: 503 with a reason and Retry-After; cached digests are served. */
async function assertWithoutCredential(wanted: RegExp): Promise<void> {
  const cold = await ask(`${name}/manifests/cold`)
  assert.deepEqual([cold.status, codeOf(cold)], [503, 'UNAVAILABLE'], cold.body.toString())
  assert.match(cold.body.toString(), wanted)
  assert.ok(Number(cold.headers['retry-after']) >= 1)
  assert.match(await readiness(), wanted)
}

test('fifty concurrent first pulls cause one exchange', async () => {
  await startFederated()
  const manifests = await Promise.all(Array.from({ length: 50 }, () => ask(`${name}/manifests/v1`)))
  for (const { status, body } of manifests) {
    assert.equal(status, 200)
    assert.deepEqual(body, image.bytes)
  }
  await pullImage(berth, name, image)
  assert.equal(google.count(/POST \/v1\/token/), 1)
  assert.equal(google.count(/:generateAccessToken/), 1)
  assert.equal(registry.count(/\/v2\/token/), 0, 'and the registry gives no token of its own')
})

test('a Berth that starts while Google is down serves its cache, and recovers without a restart (K112)', async () => {
  await startFederated()
  await pullImage(berth, name, image, 'v1')
  await google.die()
  await berth.restart()
  await assertWithoutCredential(
    /no credential for .* as berth@my-project\.iam\.gserviceaccount\.com: cannot exchange the subject token: cannot reach 127\.0\.0\.1:\d+: ECONNREFUSED.*; allow connections from Berth to 127/,
  )
  await pullImage(berth, name, image)
  await google.revive()
  await eventually('the other image can be pulled', async () => {
    return (await ask(`${other}/manifests/v1`)).status === 200
  })
  assert.doesNotMatch(await readiness(), /no credential/)
})

test('pulls work while the security token service is down and the token is valid (U42)', async () => {
  await startFederated()
  await pullImage(berth, name, image, 'v1')
  await google.die()
  await pullImage(berth, other, otherImage, 'v1')
})

test('a pull of many layers succeeds with tokens that live for seconds', async () => {
  google.accessTokens.live({ seconds: 3 })
  const many = makeImage({ layers: Array.from({ length: 40 }, () => randomBlob(20_000)) })
  registry.put(name, 'many', many)
  registry.behave({ accessTokens: 'direct' })
  await startFederated()
  const until = performance.now() + 5000
  await pullImage(berth, name, many, 'many')
  for (let round = 0; performance.now() < until; round += 1) {
    const fresh = makeImage()
    registry.put(name, `round-${round}`, fresh)
    await pullImage(berth, name, fresh, `round-${round}`)
  }
  assert.ok(google.count(/:generateAccessToken/) >= 2, 'they were exchanged again')
})

test('a revoked role is an error that names identity and role, and affects no other repository (U43)', async () => {
  let isRevoked = true
  registry.behave({
    readers: (holder, repository) =>
      holder === account && !(isRevoked && repository === 'my-project/my-repository'),
  })
  await startFederated({ ttl: 0 })
  await pullImage(berth, other, otherImage, 'v1')
  const asked = registry.requests.length
  await assertRefused(
    `${name}/manifests/v1`,
    new RegExp(
      `${account} was denied access to [^ ]+: .*artifactregistry\\.repositories\\.downloadArtifacts.* denied on resource .*; ${account} lacks roles/artifactregistry\\.reader on my-project/my-repository, or that repository does not exist; grant the role`,
    ),
  )
  assert.match(
    await readiness(),
    /lacks roles\/artifactregistry\.reader on my-project\/my-repository/,
  )
  assert.ok(registry.requests.length - asked <= 3, 'it is asked no more than that')
  await pullImage(berth, other, otherImage)
  isRevoked = false
  await eventually('the role counts', async () => {
    return (await ask(`${name}/manifests/v1`)).status === 200
  })
  await pullImage(berth, name, image, 'v1')
  assert.doesNotMatch(await readiness(), /lacks roles/)
})

test('denied impersonation is an error with the grant, which takes effect without a restart (K112)', async () => {
  google.set({ impersonators: /^nobody$/ })
  await startFederated()
  await assertWithoutCredential(
    new RegExp(
      `no credential for .* as ${account}: .* answered 403 PERMISSION_DENIED: .*; grant roles/iam\\.workloadIdentityUser on ${account} to ${principal}: gcloud iam service-accounts add-iam-policy-binding`,
    ),
  )
  google.set({ impersonators: /./ })
  await eventually('it can be pulled', async () => {
    return (await ask(`${name}/manifests/v1`)).status === 200
  })
})

test('without impersonation, the error names the principal', async () => {
  await startClouds({ grant: 'direct' })
  registry.behave({ readers: () => false })
  await startFederated()
  await assertRefused(
    `${name}/manifests/v1`,
    new RegExp(
      `${principal} was denied access to [^ ]+: .*; ${principal} lacks roles/artifactregistry\\.reader`,
    ),
  )
})

test('a mounted token for another audience is an error, and the right one takes effect without a restart', async () => {
  await startFederated()
  const token = join(directory, 'token')
  await writeFile(token, google.projectedToken({ aud: ['https://kubernetes.default.svc'] }))
  await berth.restart()
  await assertWithoutCredential(
    /the audience of the subject token is https:\/\/kubernetes\.default\.svc, but the provider expects https:\/\/iam\.googleapis\.com\/projects\/123456789\//,
  )
  await writeFile(token, google.projectedToken())
  await eventually('it can be pulled', async () => {
    return (await ask(`${name}/manifests/v1`)).status === 200
  })
})

test('an error of the metadata server is reported, and a slow one is waited for (K112)', async () => {
  const refusal = 'Unable to generate access token; IAM returned 403 Forbidden: Permission denied'
  const headers = { 'metadata-flavor': 'Google' }
  google.fail('metadata', { status: 403, body: refusal, headers })
  await start({ environment: { GCE_METADATA_HOST: google.metadataHost } })
  await assertWithoutCredential(
    /the metadata server at 127\.0\.0\.1:\d+ answered 403 Unable to gen/,
  )
  google.fail('metadata', undefined)
  google.delay(500)
  await eventually('it can be pulled', async () => {
    return (await ask(`${name}/manifests/v1`)).status === 200
  })
  await pullImage(berth, name, image, 'v1')
})

test('a program prints the subject token if the environment allows it, and is an error if not', async () => {
  const program = join(directory, 'program')
  const answer = { version: 1, success: true, id_token: google.projectedToken() }
  await writeFile(program, `#!/bin/sh\necho '${JSON.stringify(answer)}'\n`, { mode: 0o755 })
  canaries.add(answer.id_token)
  const credential_source = { executable: { command: program } }
  const file = await google.configure(directory, { credential_source })
  await start({ credentials: { file } })
  await assertWithoutCredential(
    /runs .*, but executables are not allowed; set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1 if/,
  )
  const environment = { GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES: '1', PATH: '/usr/bin:/bin' }
  await start({ credentials: { file }, environment })
  await pullImage(berth, name, image, 'v1')
})

test('a login that is revoked at run time is reported, and the cache is served', async () => {
  google.accessTokens.live({ seconds: 2 })
  const file = join(directory, 'adc.json')
  await writeFile(file, JSON.stringify(google.logIn()))
  canaries.add(JSON.parse(await readFile(file, 'utf8')).refresh_token)
  await start({ environment: { GOOGLE_APPLICATION_CREDENTIALS: file } })
  await pullImage(berth, name, image, 'v1')
  google.revokeLogins()
  let asked = 0
  await eventually('the last token has expired', async () => {
    asked += 1
    return (await ask(`${name}/manifests/absent-${asked}`)).status === 503
  })
  await assertWithoutCredential(
    /as dev@example\.com: .*invalid_grant: Token has been expired or revoked\..*; log in again: gcloud auth application-default login/,
  )
  await pullImage(berth, name, image)
})

test('secrets that Google repeats are redacted', async () => {
  const file = await google.configure(directory)
  const subject = (await readFile(join(directory, 'token'), 'utf8')).trim()
  const body = { error: 'invalid_grant', error_description: `cannot use ${subject}` }
  google.fail('sts', { status: 400, body })
  await start({ credentials: { file } })
  await assertWithoutCredential(/invalid_grant: cannot use \[redacted\]/)
})
