import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, type TestContext, test } from 'node:test'
import { type Aws, assumed, refusal, setAwsEnvironment, startAws } from '../support/aws.ts'
import { eventually } from '../support/berth.ts'
import { createCanaries } from '../support/canaries.ts'
import { codeOf, get, type Reply } from '../support/client.ts'
import { useForwardClock } from '../support/clock.ts'
import { type Ecr, registryHost, startEcr } from '../support/ecr.ts'
import { type Image, makeImage, makeIndex, randomBlob } from '../support/images.ts'
import { ownNames } from '../support/names.ts'
import { type ObjectStore, startObjectStore } from '../support/object-store.ts'
import { getBlob, pullBlob, pullImage } from '../support/pull.ts'
import { useBerth } from '../support/use-berth.ts'

const name = 'team/app'
const replies: Reply[] = []

let directory: string
let aws: Aws
let storage: ObjectStore
let ecr: Ecr
const berth = useBerth({ check: assertNoSecretSeen })
let image: Image
let environment: Readonly<Record<string, string>>
let restore: () => void

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'berth-ecr-'))
  storage = await startObjectStore()
})
after(async () => {
  await storage.stop()
  await rm(directory, { recursive: true, force: true })
})
beforeEach(async () => {
  aws = await startAws()
  ecr = await startEcr({ aws, storage })
  image = makeImage({ layers: [randomBlob(300_000), randomBlob(100_000), randomBlob(1)] })
  ecr.put(name, 'v1', image)
  environment = { ...aws.endpoints, ...(await aws.irsa(directory)) }
  restore = setAwsEnvironment(environment)
})
afterEach(async () => {
  restore()
  await Promise.all([ecr.stop(), aws.stop()])
})

/** Secrets are in no log and no metric, and reach nobody but the services that issued them. */
async function assertNoSecretSeen(): Promise<void> {
  const canaries = createCanaries()
  for (const secret of aws.secrets()) canaries.add(secret)
  const probes = await Promise.all(['/metrics', '/readyz'].map((path) => get(berth.admin + path)))
  await canaries.assertUnseen({
    berths: [berth],
    strangers: [storage],
    replies: [...replies.splice(0), ...probes],
  })
  for (const { headers } of storage.requests) assert.equal(headers.authorization, undefined)
}

/** Uses the registry's real name, which resolves to the fake one until the end of the test. */
async function start(t: TestContext, { host = registryHost, tags = {} } = {}): Promise<void> {
  ownNames(t).set(host, ['127.0.0.1'])
  const url = `http://${host}:${ecr.port}`
  const redirects = [storage.url]
  const credentials = { type: 'aws' }
  const upstreams = [{ url, credentials, redirects, tags, tokenRealms: [url] }]
  await berth.start({ environment, config: { upstreams } })
}

async function ask(path: string): Promise<Reply> {
  const reply = await get(berth.url + path)
  replies.push(reply)
  return reply
}

test("an image of many layers is pulled with a service account's role, its blobs without a credential (U49)", async (t) => {
  await start(t)
  const index = makeIndex([makeImage(), makeImage()])
  ecr.put(name, 'multi', index)
  await pullImage(berth, name, image, 'v1')
  await pullImage(berth, name, index, 'multi')
  assert.equal(aws.countRequests('ecr:GetAuthorizationToken'), 1)
  assert.equal(aws.countRequests('sts:AssumeRoleWithWebIdentity'), 1)
  assert.ok(ecr.answered(401) <= 1, 'the challenge alone')
  assert.ok(storage.requests.length >= 4)
})

test('fifty concurrent first pulls cause one exchange (INV 8)', async (t) => {
  await start(t)
  await Promise.all(Array.from({ length: 50 }, () => pullImage(berth, name, image, 'v1')))
  assert.equal(aws.countRequests('ecr:GetAuthorizationToken'), 1)
  assert.equal(aws.countRequests('sts:AssumeRoleWithWebIdentity'), 1)
  assert.equal(ecr.count(/GET .*\/blobs\//), image.blobs.length)
})

test('a password that expires in the middle of a pull, with a 403, is replaced once (U41)', async (t) => {
  const clock = useForwardClock(t)
  await start(t)
  const [config, ...layers] = image.blobs
  assert.ok(config !== undefined)
  await pullBlob(berth, name, config)
  aws.expirePasswords()
  clock.advance(2000)
  await Promise.all(layers.map((layer) => pullBlob(berth, name, layer)))
  assert.equal(aws.countRequests('ecr:GetAuthorizationToken'), 2)
  assert.ok(ecr.answered(403) >= 1)
})

test('a tag is found although HEAD rejects the expired password without a message (U41)', async (t) => {
  const clock = useForwardClock(t)
  await start(t, { tags: { ttl: 0 } })
  await pullImage(berth, name, image, 'v1')
  aws.expirePasswords()
  clock.advance(2000)
  const moved = makeImage()
  ecr.put(name, 'v1', moved)
  await pullImage(berth, name, moved, 'v1')
  assert.equal(aws.countRequests('ecr:GetAuthorizationToken'), 2)
})

test('passwords that are issued expired fail after one renewal, without endless exchanges', async (t) => {
  aws.passwordLife(-1)
  await start(t)
  const reply = await ask(`/v2/${name}/manifests/v1`)
  assert.deepEqual([reply.status, codeOf(reply)], [403, 'DENIED'])
  assert.match(reply.body.toString(), /authorization token has expired/)
  assert.ok(aws.countRequests('ecr:GetAuthorizationToken') <= 2)
  assert.ok(ecr.requests.length <= 3)
})

test("while AWS's services are down, the password is used until it expires, then the cache (U42)", async (t) => {
  const clock = useForwardClock(t)
  await start(t)
  await pullImage(berth, name, image, 'v1')
  const other = makeImage()
  ecr.put(name, 'v2', other)
  await aws.stop()
  clock.advance(11.9 * 3600_000)
  await pullImage(berth, name, other, 'v2')
  clock.advance(0.2 * 3600_000)
  await pullImage(berth, name, image)
  const cold = await ask(`/v2/${name}/manifests/v3`)
  assert.deepEqual([cold.status, codeOf(cold)], [503, 'UNAVAILABLE'])
  assert.ok(Number(cold.headers['retry-after']) >= 1)
  assert.match(cold.body.toString(), /no credential for .*cannot assume the role .*ECONNREFUSED/)
  const ready = await ask(`/v2/${name}/blobs/${image.blobs[0]?.digest}`)
  assert.equal(ready.headers['x-cache'], 'hit')
})

test('a Berth whose role is not trusted starts, reports why, and serves once it is trusted (A112)', async (t) => {
  const untrusted = refusal(403, 'AccessDenied', 'Not authorized to perform sts:AssumeRole')
  aws.fail('sts:AssumeRoleWithWebIdentity', untrusted)
  await start(t)
  const reply = await ask(`/v2/${name}/manifests/v1`)
  assert.deepEqual([reply.status, codeOf(reply)], [503, 'UNAVAILABLE'])
  assert.match(reply.body.toString(), /assume the role arn:aws:iam::111122223333:role\/berth/)
  const ready = await get(`${berth.admin}/readyz`)
  assert.match(ready.body.toString(), /no credential for .*AccessDenied/)
  aws.fail('sts:AssumeRoleWithWebIdentity', undefined)
  await eventually('the next attempt in the background', async () => {
    const { status } = await get(`${berth.url}/v2/${name}/manifests/v1`)
    return status === 200
  })
})

test('revoked access to a repository is a 403 that names identity, repository and fix (A110)', async (t) => {
  await start(t, { tags: { ttl: 0, staleIfError: 0 } })
  await pullImage(berth, name, image, 'v1')
  const exchanges = aws.countRequests('ecr:GetAuthorizationToken')
  ecr.deny(name)
  const reply = await ask(`/v2/${name}/manifests/v1`)
  assert.deepEqual([reply.status, codeOf(reply)], [403, 'DENIED'])
  const text = reply.body.toString()
  assert.ok(text.includes(`${assumed} was denied access to `), text)
  assert.match(text, /not authorized to perform: ecr:BatchGetImage on resource: .*team\/app/)
  assert.match(text, /grant arn:aws:sts::.*ecr:BatchGetImage.*:444455556666:repository\/team\/app/)
  assert.match(text, /aws ecr set-repository-policy/)
  assert.equal(aws.countRequests('ecr:GetAuthorizationToken'), exchanges, 'it is not the password')
})

test("missing content is 404, and tag lists request at most ECR's page size", async (t) => {
  await start(t)
  for (const missing of ['team/app/manifests/v9', 'team/other/manifests/v1'])
    assert.equal((await ask(`/v2/${missing}`)).status, 404, missing)
  const tags = Array.from({ length: 2500 }, (_, at) => `t${at}`).sort()
  for (const tag of tags) ecr.put('team/many', tag, image)
  const listed: string[] = []
  for (let path = '/v2/team/many/tags/list'; path !== ''; ) {
    const { body, headers } = await ask(path)
    listed.push(...JSON.parse(body.toString()).tags)
    path = /^<(.*)>; rel="next"$/.exec(String(headers['link'] ?? ''))?.[1] ?? ''
  }
  assert.deepEqual(listed, tags)
  assert.equal(ecr.count(/tags\/list/), 3)
})

test('ECR Public issues tokens for the password, and rejects HEAD of a blob, which is then fetched with GET', async (t) => {
  await ecr.stop()
  ecr = await startEcr({ aws, storage, kind: 'public' })
  ecr.put('amazonlinux/amazonlinux', 'v1', image)
  await start(t, { host: 'public.ecr.aws' })
  const [, layer] = image.blobs
  assert.ok(layer !== undefined)
  const head = await get(`${berth.url}/v2/amazonlinux/amazonlinux/blobs/${layer.digest}`, {
    method: 'HEAD',
  })
  assert.equal(head.status, 200)
  await pullImage(berth, 'amazonlinux/amazonlinux', image, 'v1')
  assert.equal(aws.countRequests('ecr-public:GetAuthorizationToken'), 1)
  assert.ok(ecr.count(/GET \/token\/\?service=public\.ecr\.aws&scope=/) >= 1)
})

test("ECR Public's token endpoint rejects an expired password, which is replaced once (U41)", async (t) => {
  const clock = useForwardClock(t)
  await ecr.stop()
  ecr = await startEcr({ aws, storage, kind: 'public' })
  ecr.put('amazonlinux/amazonlinux', 'v1', image)
  await start(t, { host: 'public.ecr.aws' })
  const [config, layer] = image.blobs
  assert.ok(config !== undefined && layer !== undefined)
  await pullBlob(berth, 'amazonlinux/amazonlinux', config)
  aws.expirePasswords()
  // Tokens of the endpoint live for a minute at most.
  clock.advance(120_000)
  assert.equal((await getBlob(berth, 'amazonlinux/amazonlinux', layer)).status, 200)
  assert.equal(aws.countRequests('ecr-public:GetAuthorizationToken'), 2)
})

test('ECR Public rejects an expired token with a 400, and it is replaced (U41)', async (t) => {
  await ecr.stop()
  ecr = await startEcr({ aws, storage, kind: 'public' })
  ecr.put('amazonlinux/amazonlinux', 'v1', image)
  await start(t, { host: 'public.ecr.aws', tags: { ttl: 0 } })
  const [config, ...layers] = image.blobs
  assert.ok(config !== undefined)
  await pullBlob(berth, 'amazonlinux/amazonlinux', config)
  ecr.expireTokens()
  await pullImage(berth, 'amazonlinux/amazonlinux', image, 'v1')
  ecr.expireTokens()
  await Promise.all(
    ['v2', 'v3', 'v4'].map(async (tag) => {
      ecr.put('amazonlinux/amazonlinux', tag, image)
      const { status } = await ask(`/v2/amazonlinux/amazonlinux/manifests/${tag}`)
      assert.equal(status, 200)
    }),
  )
  ecr.expireTokens()
  const moved = makeImage({ layers })
  ecr.put('amazonlinux/amazonlinux', 'v1', moved)
  await pullImage(berth, 'amazonlinux/amazonlinux', moved, 'v1')
  assert.ok(ecr.answered(400) <= 6, 'once for each that was refused')
  // A refusal a second after the last exchange is a reason for another one.
  assert.ok(aws.countRequests('ecr-public:GetAuthorizationToken') <= 4)
})
