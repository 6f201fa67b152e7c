import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3'
import type { ObjectStore } from '../../src/store/store.ts'
import { type Bucket, type BucketServer, bucketServers } from '../support/bucket-servers.ts'
import { type Child, startChild } from '../support/child.ts'
import { collectSteps } from '../support/collect-steps.ts'
import { compileCache } from '../support/compile-cache.ts'
import { type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { pullBlob, pullImage } from '../support/pull.ts'
import { createPushClient } from '../support/push-client.ts'
import { until } from '../support/until.ts'

const prefix = 'killed'
const app = 'team/app'
/** Large enough for an upload in two parts. */
const layerSize = 17_000_000
/** Milliseconds: each kill is a start, of some seconds. */
const timeout = 600_000
const access = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]

for (const server of bucketServers)
  suite(`a registry with a bucket of ${server.name}`, () => testKills(server))

function testKills({ startBucket, leavesUploads }: BucketServer): void {
  let bucket: Bucket
  let proxy: FaultyProxy
  let objects: ObjectStore
  let berth: Child
  const directories = new Set<string>()

  before(async () => {
    bucket = await startBucket()
    proxy = await startFaultyProxy(bucket.url)
    objects = await bucket.open()
  })
  after(async () => {
    await berth.kill('SIGKILL')
    await Promise.all([objects.close(), proxy.close()])
    await bucket.close()
    for (const directory of directories) await rm(directory, { recursive: true, force: true })
  })

  const start = async (directory?: string, expiry: object = {}): Promise<void> => {
    const hosted = { bucket: { ...bucket.configAt(proxy.url), prefix }, ...expiry }
    berth = await startChild({
      ...(directory !== undefined && { directory }),
      config: {
        upstreams: [],
        auth: { access },
        storage: { hosted },
        collection: { enabled: false, grace: '1s', trash: '1s' },
      },
      environment: { ...bucket.keys, ...compileCache },
    })
    directories.add(berth.directory)
  }

  /** Pushes an image as far as it gets; `acknowledged`: digests. */
  const push = async (image: Image, acknowledged: Set<string>): Promise<void> => {
    const client = createPushClient(berth.url)
    for (const blob of image.blobs) {
      await client.pushBlob(app, blob)
      acknowledged.add(blob.digest)
    }
    assert.equal((await client.putManifest(app, 'v1', image)).status, 201)
    acknowledged.add(image.digest)
  }

  /** Kills the registry while a request that changes the bucket is held; false: the push has fewer. */
  const killAt = async (at: number, isPassed: boolean, image: Image, done: Set<string>) => {
    const held = Promise.withResolvers<() => Promise<void>>()
    let count = 0
    proxy.fail((line) => {
      if (!/^(PUT|POST|DELETE) /.test(line)) return undefined
      count += 1
      return count === at ? { kind: 'hold', hold: held.resolve } : undefined
    })
    const pushing = push(image, done).catch(() => {})
    const pass = await Promise.race([held.promise, pushing.then(() => undefined)])
    proxy.behave()
    if (pass === undefined) return false
    await berth.kill('SIGKILL')
    if (isPassed) await pass()
    await pushing
    return true
  }

  const unfinished = async (): Promise<number> => {
    if (!leavesUploads) return 0
    const { name: Bucket, endpoint } = bucket.configAt(bucket.url)
    const s3 = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true })
    const { Uploads = [] } = await s3.send(new ListMultipartUploadsCommand({ Bucket }))
    s3.destroy()
    return Uploads.length
  }

  const left = async (): Promise<readonly string[]> => {
    const keys: string[] = []
    for await (const page of objects.list(`${prefix}/`))
      keys.push(...page.objects.map(({ key }) => key))
    return keys.filter((key) => key !== `${prefix}/_berth/volume`)
  }

  test('that is killed at any change of a push to the bucket loses nothing that was acknowledged, the push can be repeated, and all is collected', {
    timeout,
  }, async (t) => {
    await start()
    const images: Image[] = []
    let kills = 0
    for (let round = 0, isOver = false; !isOver; round += 1) {
      const image = makeImage({ layers: [randomBlob(layerSize)] })
      images.push(image)
      const acknowledged = new Set<string>()
      isOver = !(await killAt(round + 1, round % 2 === 0, image, acknowledged))
      if (!isOver) {
        kills += 1
        await start(round === 5 ? undefined : berth.directory)
      }
      for (const blob of image.blobs)
        if (acknowledged.has(blob.digest)) await pullBlob(berth, app, blob)
      if (acknowledged.has(image.digest)) await pullImage(berth, app, image, 'v1')
      await push(image, acknowledged)
      await pullImage(berth, app, image, 'v1')
    }
    const uploads = await unfinished()
    t.diagnostic(`kills: ${kills}; unfinished uploads: ${uploads}`)
    assert.ok(kills >= 8 && uploads > 0 === leavesUploads)

    await berth.kill('SIGKILL')
    await start(berth.directory, { uploadExpiry: '1s' })
    const { send } = createPushClient(berth.url)
    for (const { digest } of images)
      assert.equal((await send('DELETE', `${app}/manifests/${digest}`)).status, 202)
    await until('nothing is left in the bucket', async () => {
      await collectSteps(join(berth.directory, 'data', 'hosted'))
      assert.deepEqual(await left(), [])
      assert.equal(await unfinished(), 0)
    })
  })
}
