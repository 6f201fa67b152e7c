import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Azure,
  type ContainerRegistry,
  startAzure,
  startContainerRegistry,
} from '../support/azure.ts'
import { createCanaries } from '../support/canaries.ts'
import { codeOf, get } from '../support/client.ts'
import { useForwardClock } from '../support/clock.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { type ObjectStore, startObjectStore } from '../support/object-store.ts'
import { pullBlob, pullImage } from '../support/pull.ts'
import { settle } from '../support/remotes.ts'
import { useBerth } from '../support/use-berth.ts'

const name = 'team/app'
let directory: string
let azure: Azure
let storage: ObjectStore
let registry: ContainerRegistry
const berth = useBerth({ check: assertNoSecretSeen })
let image: Image
/** Bodies of error responses. */
let told: string[]

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'berth-azure-'))
  storage = await startObjectStore()
})
after(async () => {
  await storage.stop()
  await rm(directory, { recursive: true, force: true })
})
beforeEach(async () => {
  told = []
  azure = await startAzure()
  registry = await startContainerRegistry({ azure, storage })
  image = makeImage()
  registry.put(name, 'v1', image)
  await start()
})
afterEach(async () => {
  await Promise.all([registry.stop(), azure.stop()])
})

/** Secrets are in no log and no metric, and reach nobody but the services that issued them. */
async function assertNoSecretSeen(): Promise<void> {
  const { secret } = azure.application
  const canaries = createCanaries()
  for (const text of [secret, ...azure.tokens(), ...registry.tokens()]) canaries.add(text)
  const strangers = [
    azure.issuer,
    storage,
    { requests: azure.machine.requests },
    { requests: azure.entra.requests, knows: [secret] },
    { requests: registry.requests, knows: [...azure.tokens(), ...registry.tokens()] },
  ]
  await canaries.assertUnseen({ berths: [berth], strangers, texts: told })
  for (const { headers } of storage.requests) assert.equal(headers.authorization, undefined)
}

/** By default with workload identity, as the webhook of AKS configures it. */
async function start(environment?: Record<string, string>): Promise<void> {
  const file = join(directory, 'token')
  await writeFile(file, azure.issuer.issue())
  const workload = {
    AZURE_TENANT_ID: azure.tenantId,
    AZURE_CLIENT_ID: azure.application.clientId,
    AZURE_FEDERATED_TOKEN_FILE: file,
    AZURE_AUTHORITY_HOST: `${azure.entra.url}/`,
  }
  const upstream = {
    url: registry.url,
    credentials: { type: 'azure' },
    redirects: [storage.url],
    tags: { ttl: 0 },
  }
  return berth.start({ config: { upstreams: [upstream] }, environment: environment ?? workload })
}

async function refused(reference: string) {
  const reply = await get(`${berth.url}/v2/${name}/manifests/${reference}`)
  told.push(reply.body.toString())
  return reply
}

test('an image is pulled with one exchange, and one token of the repository', async () => {
  await pullImage(berth, name, image, 'v1')
  assert.equal(azure.entra.requests.length, 1)
  assert.equal(registry.count(/POST \/oauth2\/exchange/), 1)
  assert.equal(registry.count(/POST \/oauth2\/token/), 1)
  const tags = await get(`${berth.url}/v2/${name}/tags/list`)
  assert.deepEqual(JSON.parse(tags.body.toString()), { name, tags: ['v1'] })
})

test('a client secret in the environment, and a managed identity, work as well', async () => {
  const { clientId, secret } = azure.application
  const { tenantId: AZURE_TENANT_ID, entra, machine } = azure
  for (const environment of [
    {
      AZURE_TENANT_ID,
      AZURE_CLIENT_ID: clientId,
      AZURE_CLIENT_SECRET: secret,
      AZURE_AUTHORITY_HOST: entra.url,
    },
    { AZURE_POD_IDENTITY_AUTHORITY_HOST: machine.url },
    { IDENTITY_ENDPOINT: `${machine.url}/msi/token`, IDENTITY_HEADER: azure.identityHeader },
  ]) {
    await start(environment)
    await pullImage(berth, name, image, 'v1')
  }
  assert.equal(entra.requests.filter(({ body }) => body.includes('client_secret=')).length, 1)
  assert.equal(machine.requests.length, 2)
})

test("a repository token is used for the lifetime in its claims, which the registry's answer omits", async (t) => {
  const clock = useForwardClock(t)
  const [, first, second] = image.blobs
  assert.ok(first !== undefined && second !== undefined)
  await pullBlob(berth, name, first)
  clock.advance(3600_000)
  await pullBlob(berth, name, second)
  assert.equal(registry.count(/POST \/oauth2\/token/), 1)
})

test('a pull succeeds while tokens of all kinds expire several times (U41)', async () => {
  azure.life = 3
  registry.lives = { refresh: 3, access: 2 }
  const layers = Array.from({ length: 8 }, (_, at) => randomBlob(10_000 + at))
  const large = makeImage({ layers })
  registry.put(name, 'large', large)
  await start()
  for (const blob of large.blobs) {
    await pullBlob(berth, name, blob)
    await sleep(800)
  }
  assert.ok(registry.count(/POST \/oauth2\/exchange/) >= 3, 'refresh tokens expired')
  assert.ok(registry.count(/POST \/oauth2\/token/) >= 4, 'access tokens expired')
})

test('tokens that are revoked between two layers are replaced, and the pull succeeds (U41)', async (t) => {
  const clock = useForwardClock(t)
  for (const blob of image.blobs) {
    await pullBlob(berth, name, blob)
    registry.revoke()
    clock.advance(2000)
  }
})

test('fifty concurrent first pulls cause one exchange', async () => {
  await get(`${berth.url}/v2/${name}/manifests/v1`)
  const [asked, exchanged] = [azure.entra.requests.length, registry.count(/exchange/)]
  azure.entra.delay(200)
  await start()
  const replies = await Promise.all(
    Array.from({ length: 50 }, (_, at) =>
      get(`${berth.url}/v2/${name}/manifests/${at % 2 === 0 ? 'v1' : image.digest}`),
    ),
  )
  for (const reply of replies) assert.deepEqual(reply.body, image.bytes)
  assert.equal(azure.entra.requests.length - asked, 1)
  assert.equal(registry.count(/exchange/) - exchanged, 1)
})

test('while Entra ID is down, the current token is used until it expires, then the cache (U42)', async (t) => {
  const clock = useForwardClock(t)
  await pullImage(berth, name, image, 'v1')
  const other = makeImage()
  registry.put(name, 'v2', other)
  await azure.entra.stop()
  clock.advance(10_000_000)
  await pullImage(berth, name, other, 'v2')
  clock.advance(1_000_000)
  await settle()
  await pullImage(berth, name, image)
  const stale = await get(`${berth.url}/v2/${name}/manifests/v1`)
  assert.equal(stale.headers['x-cache'], 'stale')
  const cold = await refused('v3')
  assert.deepEqual([cold.status, codeOf(cold)], [503, 'UNAVAILABLE'])
  assert.ok(Number(cold.headers['retry-after']) >= 1)
  assert.match(
    cold.body.toString(),
    /no credential for .* as application .*cannot reach http:\/\/127.*: connection refused; allow connections to/,
  )
  const ready = await get(`${berth.admin}/readyz`)
  assert.equal(ready.status, 200)
  assert.match(ready.body.toString(), /connection refused/)
})

test('a start without a role succeeds, reports the missing role, and serves once it is assigned (A112)', async (t) => {
  const clock = useForwardClock(t)
  registry.readers.clear()
  await start()
  const cold = await refused('v1')
  assert.deepEqual([cold.status, codeOf(cold)], [403, 'DENIED'])
  assert.match(cold.body.toString(), /exchange answered 401: .*az role assignment create/)
  registry.readers.add(azure.application.objectId)
  clock.advance(5000)
  await pullImage(berth, name, image, 'v1')
})

test('a rejected exchange is reported as a problem until it succeeds, for any request', async (t) => {
  const clock = useForwardClock(t)
  registry.readers.clear()
  await start()
  const ready = async () => (await get(`${berth.admin}/readyz`)).body.toString()
  assert.equal((await refused('v1')).status, 403)
  assert.match(await ready(), /exchange answered 401/)
  registry.readers.add(azure.application.objectId)
  registry.put('another/app', 'v1', image)
  clock.advance(5000)
  await pullImage(berth, 'another/app', image, 'v1')
  assert.doesNotMatch(await ready(), /exchange answered 401/)
})

test('a revoked role is a 403 that names identity and repository, and no stale tag is served (A110)', async (t) => {
  const clock = useForwardClock(t)
  await pullImage(berth, name, image, 'v1')
  registry.readers.clear()
  registry.revoke()
  clock.advance(5000)
  const [exchanges, tokens] = [registry.count(/exchange/), registry.count(/oauth2\/token/)]
  const reply = await refused('v1')
  assert.deepEqual([reply.status, codeOf(reply)], [403, 'DENIED'])
  const { objectId, clientId } = azure.application
  assert.match(
    reply.body.toString(),
    new RegExp(
      `application ${clientId} \\(object ${objectId}\\) was denied access to [^ ]+: .* answered 401: .*role AcrPull on registry NAME to pull ${name}: `,
    ),
  )
  assert.ok(registry.count(/exchange/) - exchanges <= 2)
  assert.ok(registry.count(/oauth2\/token/) - tokens <= 4)
  const ready = await get(`${berth.admin}/readyz`)
  assert.match(ready.body.toString(), new RegExp(objectId))
})

test("a rejection by the registry's token endpoint has the same advice", async () => {
  await pullImage(berth, name, image, 'v1')
  registry.revoke()
  registry.fail('token', {
    status: 401,
    body: { errors: [{ code: 'UNAUTHORIZED', message: 'authentication required' }] },
  })
  const reply = await refused('v1')
  assert.deepEqual([reply.status, codeOf(reply)], [403, 'DENIED'])
  assert.match(
    reply.body.toString(),
    /answered 401 to a token request .*: authentication required; grant .* to pull team\/app/,
  )
})
