import assert from 'node:assert/strict'
import { after, afterEach, before, suite, test } from 'node:test'
import { type Berth, eventually, removeBerth, startBerth } from '../support/berth.ts'
import { type Bucket, type BucketServer, bucketServers } from '../support/bucket-servers.ts'
import { get } from '../support/client.ts'
import { type Fault, type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import { createPushClient } from '../support/push-client.ts'

const app = 'team/app'
const listOfBlobs = /^GET (?!.*[?&]uploads).*[?&]prefix=[^&]*%2Fblobs%2F/
const access = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]

for (const server of bucketServers)
  suite(`hosted repositories in a bucket of ${server.name} that has troubles`, () =>
    testTroubles(server))

function testTroubles({ startBucket, describe, refuse }: BucketServer): void {
  let bucket: Bucket
  let proxy: FaultyProxy
  let berth: Berth
  const others: Berth[] = []

  before(async () => {
    bucket = await startBucket()
    proxy = await startFaultyProxy(bucket.url)
    berth = await start()
  })
  after(async () => {
    await removeBerth(berth)
    await proxy.close()
    await bucket.close()
  })
  afterEach(async () => {
    proxy.behave()
    for (const other of others.splice(0)) await removeBerth(other)
  })

  const start = () => {
    const storage = { hosted: { bucket: bucket.configAt(proxy.url) } }
    return startBerth({
      config: { upstreams: [], auth: { access }, storage },
      environment: bucket.keys,
    })
  }
  /** Without anything on its disk. */
  const startAnother = async (): Promise<Berth> => {
    const other = await start()
    others.push(other)
    return other
  }
  const client = () => createPushClient(berth.url)
  const push = async (image: Image, tag = 'v1'): Promise<void> => client().push(app, image, tag)
  const newImage = () => makeImage({ layers: [randomBlob(400_000)] })

  const failAll = (pattern: RegExp, fault: Fault): void =>
    proxy.fail((line) => (pattern.test(describe(line)) ? fault : undefined))

  /** Requests that fail, of those to which the pattern applies: so many. */
  const failFirst = (pattern: RegExp, fault: Fault, count = 1): void => {
    let left = count
    proxy.fail((line) => {
      if (left === 0 || !pattern.test(describe(line))) return undefined
      left -= 1
      return fault
    })
  }

  const untilIndexed = ({ admin }: Berth) =>
    eventually('the index is complete', async () => {
      const { body } = await get(`${admin}/readyz`)
      return !body.includes('index of hosted repositories')
    })

  const problemIn = async (response: Response) => {
    const { errors } = (await response.json()) as { errors: { code: string; message: string }[] }
    return `${response.status} ${errors[0]?.code}: ${errors[0]?.message}`
  }

  for (const [what, pattern, fault, count] of [
    ['is slowed down now and then', /./, refuse('slow down'), 3],
    ['breaks in the middle of a blob', /^write .*\/blobs\//, { kind: 'break' }, 1],
    ['loses the response to a write', /^write .*\/blobs\//, { kind: 'cut', after: 0 }, 1],
    ['loses the response to a tag', /^write .*\/current\//, { kind: 'cut', after: 0 }, 1],
    ['has a token that has expired', /./, refuse('stale credentials'), 1],
    ['sets a tag that others set', /^write .*\/current\//, refuse('condition'), 3],
  ] as const satisfies readonly (readonly [string, RegExp, Fault, number])[])
    test(`a push that ${what} succeeds`, async () => {
      const image = newImage()
      failFirst(pattern, fault, count)
      await push(image)
      proxy.behave()
      await pullImage(await startAnother(), app, image, 'v1')
    })

  for (const [what, fault] of [
    ['cut', { kind: 'cut', after: 200_000 }],
    ['slowed down', refuse('slow down')],
  ] as const satisfies readonly (readonly [string, Fault])[])
    test(`a pull whose request to the bucket is ${what} is whole`, async () => {
      const image = newImage()
      await push(image)
      const other = await startAnother()
      failFirst(/^read .*\/blobs\//, fault, 2)
      await pullImage(other, app, image, 'v1')
    })

  test('while the bucket asks for fewer requests all the time, clients get 503 with the reason, and later all is as before', async (t) => {
    const [image, next] = [newImage(), newImage()]
    await push(image)
    failAll(/./, refuse('slow down'))
    const { send } = client()
    const [pulled, pushed] = await Promise.all([
      send('GET', `${app}/manifests/v1`),
      client().putManifest(app, 'v1', next),
    ])
    assert.equal(pushed.headers.get('retry-after'), '1')
    for (const response of [pulled, pushed]) {
      const problem = await problemIn(response)
      t.diagnostic(problem)
      assert.match(problem, /^503 UNAVAILABLE: cannot .* in (s3|gs):\/\/registry: (503|429) ./)
    }
    proxy.behave()
    await pullImage(berth, app, image, 'v1')
    await push(next)
    await pullImage(berth, app, next, 'v1')
  })

  test('a tag that cannot be compared and set keeps what it points to', async (t) => {
    const [image, next] = [newImage(), newImage()]
    await push(image)
    for (const blob of next.blobs) await client().pushBlob(app, blob)
    failAll(/^write .*\/current\//, refuse('condition'))
    const problem = await problemIn(await client().putManifest(app, 'v1', next))
    t.diagnostic(problem)
    assert.match(problem, /^503 UNAVAILABLE: cannot set team\/app:v1/)
    await pullImage(berth, app, image, 'v1')
    proxy.behave()
    assert.equal((await client().putManifest(app, 'v1', next)).status, 201)
    await pullImage(berth, app, next, 'v1')
  })

  for (const [what, refusal] of [
    ['denies all', 'denied'],
    ['takes all credentials for expired', 'stale credentials'],
  ] as const)
    test(`while the bucket ${what}, local images are pulled, and what else fails says why; later all is as before`, async (t) => {
      const denials = () => berth.logs().filter(({ msg }) => msg === 'the bucket denies requests')
      const before = denials().length
      const [image, next] = [newImage(), newImage()]
      await push(image)
      await pullImage(berth, app, image, 'v1')
      failAll(/./, refuse(refusal))
      const ready = async () => (await get(`${berth.admin}/readyz`)).body.toString('utf8')
      const isDenied = async () => /read-only: cannot read objects.* 40[013] /.test(await ready())
      assert.match(await problemIn(await client().putManifest(app, 'v1', next)), /^503 .* 40[013] /)
      await eventually('the readiness says why', isDenied)
      t.diagnostic(await ready())
      await pullImage(berth, app, image, 'v1')
      assert.match(await problemIn(await client().putManifest(app, 'v1', next)), /^503 .* 40[013] /)
      proxy.behave()
      await eventually('the bucket is used again', async () => !(await isDenied()))
      await push(next)
      await pullImage(berth, app, next, 'v1')
      assert.equal(denials().length - before, 1)
    })

  test('without the right to delete, pulls and pushes go on, a deletion says what is missing, and can be repeated', async (t) => {
    const image = newImage()
    await push(image, 'v2')
    failAll(/^delete$/, refuse('denied'))
    const path = `${app}/manifests/${image.digest}`
    const problem = await problemIn(await client().send('DELETE', path))
    t.diagnostic(problem)
    assert.match(problem, /^503 UNAVAILABLE: cannot delete .*(AccessDenied|forbidden)/)
    await pullImage(berth, app, image, 'v2')
    const next = newImage()
    await push(next, 'v3')
    await pullImage(berth, app, next, 'v3')
    proxy.behave()
    assert.equal((await client().send('DELETE', path)).status, 202)
    assert.equal((await client().send('GET', path)).status, 404)
  })

  test('while the bucket asks for fewer requests, the index on an empty disk waits, and does not begin anew', async () => {
    const image = newImage()
    await push(image)
    await untilIndexed(berth)
    const hex = image.digest.slice('sha256:'.length)
    // More often than one request is repeated.
    failFirst(new RegExp(`^read .*${hex}`), refuse('slow down'), 5)
    const before = proxy.count(listOfBlobs)
    const other = await startAnother()
    await untilIndexed(other)
    assert.equal(proxy.count(listOfBlobs) - before, 1)
  })

  test('while a listing takes long, images are pulled and pushed, and the readiness says what it waits for', async (t) => {
    const gate = Promise.withResolvers<void>()
    failAll(/^list$/, { kind: 'late', until: gate.promise })
    const other = await startAnother()
    const image = newImage()
    await createPushClient(other.url).push(app, image, 'slow')
    await pullImage(other, app, image, 'slow')
    const ready = await get(`${other.admin}/readyz`)
    t.diagnostic(ready.body.toString('utf8'))
    assert.equal(ready.status, 200)
    assert.match(ready.body.toString('utf8'), /index of hosted repositories.*behind/)
    gate.resolve()
    await untilIndexed(other)
  })
}
