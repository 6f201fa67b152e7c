import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ArtifactRegistry, startArtifactRegistry } from '../support/artifact-registry.ts'
import { codeOf, get } from '../support/client.ts'
import { useForwardClock } from '../support/clock.ts'
import { type Google, startGoogle } from '../support/google.ts'
import { type Image, makeImage, makeIndex, manifestOf } from '../support/images.ts'
import { type ObjectStore, startObjectStore } from '../support/object-store.ts'
import { pullBlob } from '../support/pull.ts'
import { settle } from '../support/remotes.ts'
import { useBerth } from '../support/use-berth.ts'

const name = 'my-project/my-repository/team/app'
let directory: string
let google: Google
let registry: ArtifactRegistry
let storage: ObjectStore
const berth = useBerth({ check: assertNoSecretSeen })
let image: Image

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'berth-google-'))
  storage = await startObjectStore()
})
after(async () => {
  await storage.stop()
  await rm(directory, { recursive: true, force: true })
})
beforeEach(async () => {
  google = await startGoogle({ grant: 'direct' })
  registry = await startArtifactRegistry({ accessTokens: google.accessTokens })
  image = makeImage()
  registry.put(name, 'v1', image)
  await start()
})
afterEach(async () => {
  await registry.stop()
  await google.stop()
})

/** Secrets are in no log and no metric, and reach nobody but the services that issued them. */
async function assertNoSecretSeen(): Promise<void> {
  for (const token of google.accessTokens.all())
    assert.ok(!JSON.stringify(berth.logs()).includes(token), 'an access token is in the log')
  for (const { headers } of storage.requests) assert.equal(headers.authorization, undefined)
}

async function start(tags: object = {}): Promise<void> {
  const file = await google.configure(directory)
  const credentials = { type: 'google', file }
  const redirects = [storage.url]
  return berth.start({
    config: { upstreams: [{ url: registry.url, credentials, redirects, tags }] },
  })
}

/** Pulls as a runtime does: the tag, then all blobs of the manifest concurrently. */
async function pull(wanted: Image, reference: string): Promise<void> {
  const manifest = await get(`${berth.url}/v2/${name}/manifests/${reference}`)
  assert.equal(manifest.status, 200, manifest.body.toString())
  assert.deepEqual(manifest.body, wanted.bytes)
  for (const child of wanted.children) await pull(child, child.digest)
  await Promise.all(
    wanted.blobs.map(async ({ digest, bytes }) => {
      const blob = await get(`${berth.url}/v2/${name}/blobs/${digest}`)
      assert.equal(blob.status, 200, blob.body.toString())
      assert.deepEqual(blob.body, bytes)
    }),
  )
}

test('an access token is sent directly, without a request to the token endpoint', async () => {
  await pull(image, 'v1')
  assert.equal(registry.count(/\/v2\/token/), 0)
  assert.equal(google.count(/POST \/v1\/token/), 1)
})

test('if access tokens are accepted at the token endpoint only, a pull needs one request there', async () => {
  registry.behave({ accessTokens: 'endpoint' })
  await pull(image, 'v1')
  assert.equal(registry.count(/GET \/v2\/token\?scope=/), 1)
})

test('a service account is impersonated, and only its tokens are sent to the registry', async () => {
  await google.stop()
  google = await startGoogle({ grant: 'impersonation' })
  await registry.stop()
  registry = await startArtifactRegistry({ accessTokens: google.accessTokens })
  registry.put(name, 'v1', image)
  await start()
  await pull(image, 'v1')
  assert.equal(google.count(/:generateAccessToken/), 1)
})

test('the metadata server returns the token if no file is configured', async (t) => {
  // Google's library reads this variable.
  const environment = { GCE_METADATA_HOST: google.metadataHost }
  Object.assign(process.env, environment)
  t.after(() => delete process.env['GCE_METADATA_HOST'])
  const credentials = { type: 'google' }
  await berth.start({
    config: { upstreams: [{ url: registry.url, credentials }] },
    environment,
  })
  await pull(image, 'v1')
})

test('blobs on another host are fetched without a credential (U49)', async () => {
  registry.behave({ storage })
  const before = storage.requests.length
  await pull(image, 'v1')
  const answers = storage.requests.slice(before).map(({ status }) => status)
  assert.deepEqual(answers, [200, 200, 200])
})

test('if HEAD of a manifest is rejected, a moved tag is found with GET', async () => {
  await start({ ttl: 0 })
  registry.behave({ headOfManifests: false })
  await pull(image, 'v1')
  const moved = makeImage()
  registry.put(name, 'v1', moved)
  await pull(moved, 'v1')
})

test('a token that is revoked in the middle of a pull is replaced, once (U41)', async () => {
  const index = makeIndex([makeImage(), makeImage()])
  registry.put(name, 'multi', index)
  registry.behave({ accessTokens: 'endpoint', tokenLife: { seconds: 3600, requests: 8 } })
  await pull(index, 'multi')
  await pull(image, 'v1')
  assert.ok(registry.count(/GET \/v2\/token/) > 1)
})

test('a token that expires between two layers is replaced before it is rejected (U41)', async (t) => {
  const clock = useForwardClock(t)
  registry.behave({ accessTokens: 'endpoint', tokenLife: { seconds: 60 } })
  const [, first, second] = image.blobs
  assert.ok(first !== undefined && second !== undefined)
  assert.equal(await pullBlob(berth, name, first), 'miss')
  clock.advance(55_000)
  assert.equal(await pullBlob(berth, name, second), 'miss')
  assert.equal(registry.count(/GET \/v2\/token/), 2)
  const refused = registry.requests.filter(({ status }) => status === 401)
  assert.equal(refused.length, 1, 'the challenge alone')
})

test('an access token that is revoked between two layers is exchanged once (U41)', async (t) => {
  const clock = useForwardClock(t)
  registry.behave({ accessTokens: 'direct' })
  google.accessTokens.live({ seconds: 3600, requests: 3 })
  await start()
  const [config, ...layers] = image.blobs
  assert.ok(config !== undefined)
  assert.equal((await get(`${berth.url}/v2/${name}/manifests/v1`)).status, 200)
  // The first exchange, which begins with the start, has ended.
  const before = google.count(/POST \/v1\/token/)
  await pullBlob(berth, name, config)
  clock.advance(2000)
  await Promise.all(layers.map((layer) => pullBlob(berth, name, layer)))
  assert.equal(google.count(/POST \/v1\/token/) - before, 1)
})

test('an identity without access is denied after one renewal, without tokens in the message (U41)', async () => {
  registry.behave({ accessTokens: 'direct' })
  google.accessTokens.live({ seconds: 3600, requests: 0 })
  await start()
  const [exchanged, asked] = [google.requests.length, registry.requests.length]
  const reply = await get(`${berth.url}/v2/${name}/manifests/v1`)
  assert.deepEqual([reply.status, codeOf(reply)], [403, 'DENIED'])
  assert.match(reply.body.toString(), /answered 401 .* as .*workloadIdentityPools/)
  assert.doesNotMatch(reply.body.toString(), /ya29/)
  assert.ok(google.requests.length - exchanged <= 2)
  assert.ok(registry.requests.length - asked <= 3)
})

test('while Google issues no tokens, the last one is used until it expires, then the cache (U42)', async (t) => {
  const clock = useForwardClock(t)
  await pull(image, 'v1')
  const other = makeImage()
  registry.put(name, 'v2', other)
  await google.stop()
  clock.advance(3500 * 1000)
  await pull(other, 'v2')
  clock.advance(200 * 1000)
  await settle()
  await pull(image, image.digest)
  const stale = await get(`${berth.url}/v2/${name}/manifests/v1`)
  assert.equal(stale.headers['x-cache'], 'stale')
  const cold = await get(`${berth.url}/v2/${name}/manifests/v3`)
  assert.deepEqual([cold.status, codeOf(cold)], [503, 'UNAVAILABLE'])
  assert.ok(Number(cold.headers['retry-after']) >= 1)
  assert.match(cold.body.toString(), /no credential for /)
  const ready = await get(`${berth.admin}/readyz`)
  assert.equal(ready.status, 200)
  assert.match(ready.body.toString(), /no credential for /)
})

test('Berth waits during throttling, and does not pass it on (U46)', async () => {
  await pull(image, 'v1')
  registry.behave({ quota: { requests: 1, milliseconds: 800, retryAfter: true } })
  const index = makeIndex([makeImage({ layers: [] })])
  registry.put(name, 'multi', index)
  await pull(index, 'multi')
  assert.ok(registry.throttled() > 0)
})

test('many clients of a throttled upstream cause one request after the wait (U46)', async () => {
  registry.behave({ quota: { requests: 0, milliseconds: 1500, retryAfter: true } })
  const waiting = Promise.all(
    ['v1', image.digest, ...image.blobs.map(({ digest }) => digest)].map((reference) =>
      get(`${berth.url}/v2/${name}/${kindOf(reference)}/${reference}`),
    ),
  )
  await sleep(3000)
  const asked = registry.requests.length
  registry.behave({ quota: undefined })
  const replies = await waiting
  assert.deepEqual(new Set(replies.map(({ status }) => status)), new Set([200]))
  // Five were in flight at the first 429; each later window has one.
  assert.ok(asked <= 5 + 2, `${asked} requests`)
})

test('a cached tag is served stale immediately while the upstream throttles (U46)', async () => {
  await start({ ttl: 0 })
  await pull(image, 'v1')
  registry.behave({ quota: { requests: 0, milliseconds: 60_000, retryAfter: true } })
  const stale = await get(`${berth.url}/v2/${name}/manifests/v1`)
  assert.equal(stale.status, 200)
  assert.equal(stale.headers['x-cache'], 'stale')
  registry.behave({ quota: undefined })
})

test("tags are listed without Google's additional fields", async () => {
  const list = await get(`${berth.url}/v2/${name}/tags/list`)
  assert.deepEqual(JSON.parse(list.body.toString()), { name, tags: ['v1'] })
})

test('referrers come from the upstream', async () => {
  const { digest, mediaType, bytes } = image
  const subject = { mediaType, digest, size: bytes.length }
  const signature = manifestOf(mediaType, { artifactType: 'test/signature', subject })
  registry.put(name, undefined, signature)
  const list = await get(`${berth.url}/v2/${name}/referrers/${digest}`)
  const { manifests } = JSON.parse(list.body.toString()) as { manifests: { digest: string }[] }
  assert.deepEqual(
    manifests.map((manifest) => manifest.digest),
    [signature.digest],
  )
})

function kindOf(reference: string): string {
  return reference === 'v1' || reference === image.digest ? 'manifests' : 'blobs'
}
