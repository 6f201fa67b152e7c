import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { type Berth, eventually, removeBerth, startBerth } from '../support/berth.ts'
import { type Bucket, type BucketServer, bucketServers } from '../support/bucket-servers.ts'
import { get } from '../support/client.ts'
import { type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.ts'
import { makeImage, randomBlob } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import { createPushClient } from '../support/push-client.ts'

const app = 'team/app'
const access = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push'] }]

for (const server of bucketServers)
  suite(`hosted repositories in a bucket of ${server.name} that is silent`, () =>
    testSilence(server))

function testSilence({ startBucket }: BucketServer): void {
  let bucket: Bucket
  let proxy: FaultyProxy
  let berth: Berth

  before(async () => {
    bucket = await startBucket()
    proxy = await startFaultyProxy(bucket.url)
    berth = await startBerth({
      config: {
        upstreams: [],
        auth: { access },
        storage: { hosted: { bucket: bucket.configAt(proxy.url) } },
      },
      environment: bucket.keys,
    })
  })
  after(async () => {
    proxy.behave()
    await removeBerth(berth)
    await proxy.close()
    await bucket.close()
  })

  test('local images are pulled, all else fails and says why, and later all is as before', async (t) => {
    const [image, next] = [1, 2].map(() => makeImage({ layers: [randomBlob(400_000)] }))
    assert.ok(image !== undefined && next !== undefined)
    const client = createPushClient(berth.url)
    const unknown = randomBlob(9)
    const put = () => client.putManifest(app, 'v2', next)
    const head = () => client.send('HEAD', `${app}/blobs/${unknown.digest}`)
    await client.push(app, image, 'v1')
    await pullImage(berth, app, image, 'v1')
    for (const blob of next.blobs) await client.pushBlob(app, blob)

    proxy.fail(() => ({ kind: 'silence' }))
    const pulls = Array.from({ length: 3 }, () => pullImage(berth, app, image, 'v1'))
    const [refused, unanswered] = await Promise.all([put(), head(), ...pulls])
    assert.equal(unanswered.status, 503)
    const text = await refused.text()
    t.diagnostic(text)
    assert.match(
      text,
      /cannot find .* in .*no answer within the time limit.*see whether the object/,
    )
    await pullImage(berth, app, image, 'v1')
    const ready = await get(`${berth.admin}/readyz`)
    assert.equal(ready.status, 200)
    assert.match(ready.body.toString('utf8'), /no answer within the time limit/)

    proxy.behave()
    await eventually('the bucket is asked again', async () => (await put()).status === 201)
    await pullImage(berth, app, next, 'v2')
    assert.equal((await head()).status, 404)
  })
}
