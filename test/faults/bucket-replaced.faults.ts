import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, suite, test } from 'node:test'
import type { ObjectStore } from '../../src/store/store.ts'
import { type Berth, eventually, removeBerth, startBerth } from '../support/berth.ts'
import { type Bucket, type BucketServer, bucketServers } from '../support/bucket-servers.ts'
import { get } from '../support/client.ts'
import { all } from '../support/hosted-store.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import { createPushClient } from '../support/push-client.ts'
import { until } from '../support/until.ts'

const app = 'team/app'
const access = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]

for (const server of bucketServers)
  suite(`hosted repositories in a bucket of ${server.name} that is deleted`, () =>
    testDeletion(server))

function testDeletion({ startBucket }: BucketServer): void {
  let bucket: Bucket
  let objects: ObjectStore
  let berth: Berth
  let other: Berth

  before(async () => {
    bucket = await startBucket()
    objects = await bucket.open()
  })
  after(async () => {
    await objects.close()
    await bucket.close()
  })
  beforeEach(async () => {
    await bucket.deleteBucket()
    await bucket.createBucket()
    berth = await start()
    other = await start()
  })
  afterEach(async () => {
    await removeBerth(berth)
    await removeBerth(other)
  })

  const start = () => {
    const storage = { hosted: { bucket: bucket.configAt(bucket.url) } }
    const config = { upstreams: [], auth: { access }, storage }
    return startBerth({ config, environment: bucket.keys })
  }
  const newImage = () => makeImage({ layers: [randomBlob(40_000)] })
  const push = ({ url }: Berth, image: Image, tag: string) =>
    createPushClient(url).push(app, image, tag)
  const ask = async (path: string, method = 'GET') => {
    const { status, body } = await get(`${berth.url}/v2/${path}`, { method })
    return `${status} ${body.toString('utf8')}`
  }
  const tryPush = async () => {
    const response = await createPushClient(berth.url).putManifest(app, 'v3', newImage())
    return `${response.status} ${await response.text()}`
  }
  const readiness = async () => (await get(`${berth.admin}/readyz`)).body.toString('utf8')
  const untilIndexed = (images: number) =>
    until(`the index has ${images} manifests`, async () => {
      assert.equal(await berth.metric('berth_hosted_objects{kind="manifests"}'), images)
      assert.equal(await berth.metric('berth_index_complete'), 1)
    })

  /** Of the whole bucket. */
  const contents = async () => {
    const found: [key: string, bytes: Buffer][] = []
    for (const { objects: listed } of await all(objects.list('')))
      for (const { key } of listed)
        found.push([key, (await objects.read(key))?.bytes ?? assert.fail()])
    return found
  }

  /** One image is local; of the other one only the manifest's link was asked for. */
  const pushBoth = async () => {
    const [local, remote] = [newImage(), newImage()]
    await push(berth, local, 'v1')
    await push(other, remote, 'v2')
    await pullImage(berth, app, local, 'v1')
    return { local, remote }
  }

  const assertNothingIsGone = async (remote: Image) => {
    const layer = remote.blobs.at(-1) ?? assert.fail()
    for (const path of [
      `${app}/manifests/v2`,
      `${app}/manifests/${remote.digest}`,
      `${app}/blobs/${layer.digest}`,
      `${app}/tags/list`,
      '_catalog',
    ])
      assert.match(await ask(path), /^503 .*(s3|gs):\/\/registry/, path)
    assert.match(await ask(`${app}/blobs/${layer.digest}`, 'HEAD'), /^503/)
  }

  test('while it is missing, nothing is 404, and local images are pulled; after it was restored, all is as before', async (t) => {
    const { local, remote } = await pushBoth()
    const saved = await contents()
    await bucket.deleteBucket()
    await assertNothingIsGone(remote)
    await pullImage(berth, app, local, 'v1')
    assert.match(await tryPush(), /^503 /)
    await eventually('the readiness says so', async () =>
      /read-only: .*404.*create the bucket/.test(await readiness()),
    )
    t.diagnostic(await readiness())

    await bucket.createBucket()
    for (const [key, bytes] of saved) await objects.put(key, bytes)
    await eventually('pushes succeed', async () => !/read-only/.test(await readiness()))
    await pullImage(berth, app, remote, 'v2')
    await push(berth, newImage(), 'v3')
    assert.deepEqual(
      berth.logs().filter(({ msg }) => msg === 'the bucket was replaced'),
      [],
    )
  })

  test('made again and empty, it is not taken for one whose images were deleted, until a restart', async (t) => {
    const { local, remote } = await pushBoth()
    await untilIndexed(1)
    const saved = await contents()
    await bucket.deleteBucket()
    assert.match(await ask(`${app}/manifests/v2`), /^503/)
    await bucket.createBucket()
    const isReplaced = async () =>
      /read-only: .* is not the bucket that it was: .*_berth\/volume is missing/.test(
        await readiness(),
      )
    await assertNothingIsGone(remote)
    await eventually('the readiness says so', isReplaced)
    await assertNothingIsGone(remote)
    t.diagnostic(await readiness())
    await pullImage(berth, app, local, 'v1')
    assert.match(await tryPush(), /^503 .*is not the bucket that it was.*restart/)
    await untilIndexed(1)
    assert.deepEqual(await contents(), [])
    const replaced = berth.logs().filter(({ msg }) => msg === 'the bucket was replaced')
    t.diagnostic(JSON.stringify(replaced))
    assert.equal(replaced.length, 1)

    for (const [key, bytes] of saved) await objects.put(key, bytes)
    await eventually('it is recognized', async () => !(await isReplaced()))
    await pullImage(berth, app, remote, 'v2')
    await push(berth, newImage(), 'v3')

    await bucket.deleteBucket()
    await bucket.createBucket()
    berth = await berth.restart()
    assert.match(await ask(`${app}/manifests/v2`), /^404/)
    await push(berth, local, 'v1')
    await pullImage(berth, app, local, 'v1')
  })
}
