import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, suite, test } from 'node:test'
import { setAwsEnvironment } from '../support/aws.ts'
import { type Berth, eventually, removeBerth, startBerth } from '../support/berth.ts'
import { get } from '../support/client.ts'
import { main } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'
import { startFaultyProxy } from '../support/faulty-proxy.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { attempt } from '../support/programs.ts'
import { pullBlob, pullImage } from '../support/pull.ts'
import { createPushClient } from '../support/push-client.ts'
import { startScriptedUpstream } from '../support/scripted-upstream.ts'
import { type S3Keys, type SeaweedFs, startSeaweedFs } from '../support/seaweedfs.ts'
import { until } from '../support/until.ts'

const app = 'team/app'
const access = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]
const keysNamed = (name: string): S3Keys => ({
  AWS_ACCESS_KEY_ID: `id-${name}`,
  AWS_SECRET_ACCESS_KEY: `bucket-canary-${name}`,
})
const [old, next] = [keysNamed('old'), keysNamed('next')]

suite('hosted repositories in a bucket of SeaweedFS whose keys change', () => {
  let seaweedfs: SeaweedFs
  let restore: () => void
  let file: string
  let berth: Berth

  before(async () => {
    seaweedfs = await startSeaweedFs('registry')
  })
  after(() => seaweedfs.close())
  beforeEach(async (t) => {
    file = join(await ownDirectory(t as never), 'credentials')
    restore = setAwsEnvironment({ AWS_SHARED_CREDENTIALS_FILE: file })
    await writeKeys(old)
    await seaweedfs.allow(old)
    berth = await start()
  })
  afterEach(async () => {
    await removeBerth(berth)
    restore()
  })

  const start = () => {
    const bucket = { type: 's3', name: 'registry', endpoint: seaweedfs.url }
    return startBerth({
      config: { upstreams: [], auth: { access }, storage: { hosted: { bucket } } },
    })
  }
  const writeKeys = ({ AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret }: S3Keys) =>
    writeFile(file, `[default]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\n`)
  const newImage = () => makeImage({ layers: [randomBlob(40_000)] })
  const push = (image: Image) => createPushClient(berth.url).push(app, image, 'v1')
  const tryPush = async () => {
    const response = await createPushClient(berth.url).putManifest(app, 'v2', newImage())
    return `${response.status} ${await response.text()}`
  }
  const readiness = async () => (await get(`${berth.admin}/readyz`)).body.toString('utf8')
  const lines = (message: string) => berth.logs().filter(({ msg }) => msg === message)
  const denied = () => lines('the bucket denies requests')
  const accepted = () => lines('the bucket accepts requests again')

  const assertNoSecret = async () => {
    const texts = [await readiness(), JSON.stringify(berth.logs())]
    for (const text of texts) assert.doesNotMatch(text, /bucket-canary/)
  }

  test('while they are revoked, local images are pulled, and what else fails says why; later all is as before', async (t) => {
    const image = newImage()
    await push(image)
    await pullImage(berth, app, image, 'v1')
    await seaweedfs.allow(next)
    for (let count = 0; count < 5; count += 1) {
      const refused = await tryPush()
      assert.match(refused, /^503 .*UNAVAILABLE.* 403 InvalidAccessKeyId: .*replace the keys/)
      await pullImage(berth, app, image, 'v1')
    }
    await eventually('the reason is logged', () => denied().length > 0)
    for (let count = 0; count < 5; count += 1) {
      await tryPush()
      await pullImage(berth, app, image, 'v1')
    }
    const ready = await readiness()
    t.diagnostic(ready)
    assert.equal(ready.match(/InvalidAccessKeyId/g)?.length, 1)
    t.diagnostic(JSON.stringify(denied()))
    assert.ok(denied().length <= 2)
    assert.equal(
      (await createPushClient(berth.url).send('HEAD', `${app}/blobs/${randomBlob(9).digest}`))
        .status,
      503,
    )

    await seaweedfs.allow(old)
    const later = newImage()
    await eventually(
      'pushes succeed',
      async () => (await readiness()).match(/InvalidAccessKeyId/) === null,
    )
    await push(later)
    await pullImage(berth, app, later, 'v1')
    assert.equal(accepted().length, denied().length)
    await assertNoSecret()
  })

  test('when others take their place, no client notices', async () => {
    const image = newImage()
    await push(image)
    await writeKeys(next)
    await seaweedfs.allow(next)
    await Promise.all(Array.from({ length: 5 }, () => push(newImage())))
    assert.deepEqual(denied(), [])
    assert.deepEqual(
      berth.logs().filter(({ status }) => Number(status) >= 500),
      [],
    )
    await assertNoSecret()
  })

  test('when they may only read, images are pulled, and pushes say what is wrong', async (t) => {
    const image = newImage()
    await push(image)
    await seaweedfs.allow(old, ['Read', 'List'])
    const other = await start()
    t.after(() => removeBerth(other))
    await pullImage(other, app, image, 'v1')
    const { pushBlob, send } = createPushClient(other.url)
    await assert.rejects(pushBlob(app, randomBlob(9)), /cannot write .* 403 AccessDenied/)
    await eventually('the readiness says so', async () =>
      /read-only: cannot write objects in .* 403 AccessDenied: .*grant s3:GetObject/.test(
        (await get(`${other.admin}/readyz`)).body.toString('utf8'),
      ),
    )
    for (let count = 0; count < 5; count += 1)
      assert.equal((await send('POST', `${app}/blobs/uploads/`)).status, 503)
    await pullImage(other, app, image, 'v1')
    const warnings = other.logs().filter(({ msg }) => msg === 'the bucket denies requests')
    t.diagnostic(JSON.stringify(warnings))
    assert.equal(warnings.length, 1)
    assert.deepEqual((await doctor('hosted')).slice(0, 6), [
      'write: failed',
      'condition: skipped',
      'read: ok',
      'list: ok',
      'clock: skipped',
      'delete: skipped',
    ])
    await seaweedfs.allow(old)
    await until('pushes succeed', () => pushBlob(app, randomBlob(9)))
  })

  test('when those of the cache may only read, blobs come from the bucket, uploads are not tried, and that is logged once', async (t) => {
    const upstream = await startScriptedUpstream()
    t.after(upstream.close)
    const proxy = await startFaultyProxy(seaweedfs.url)
    t.after(proxy.close)
    const cached = async () => {
      const bucket = { type: 's3', name: 'registry', endpoint: proxy.url }
      const storage = { cache: { bucket, bucketTimeout: '30s' } }
      const started = await startBerth({ config: { upstreams: [{ url: upstream.url }], storage } })
      t.after(() => removeBerth(started))
      return started
    }
    const pullNew = async (from: Berth) => {
      const blob = randomBlob(1000)
      upstream.putBlob('p/r', blob)
      await pullBlob(from, 'p/r', blob)
      return blob
    }
    const uploads = (of: Berth, result: string) =>
      of.metric(`berth_shared_cache_uploads_total{result="${result}"}`)
    const one = await cached()
    const shared = await pullNew(one)
    await eventually('it is uploaded', async () => (await uploads(one, 'stored')) === 1)
    await seaweedfs.allow(old, ['Read', 'List'])
    const puts = () => proxy.count(/^PUT /)
    const before = puts()
    await pullNew(one)
    await eventually('uploads are not tried', async () => {
      await pullNew(one)
      return (await uploads(one, 'skipped')) > 0
    })
    const failed = await uploads(one, 'failed')
    for (let count = 0; count < 50; count += 1) await pullNew(one)
    assert.equal(await uploads(one, 'failed'), failed)
    t.diagnostic(
      `${puts() - before} PUT, ${failed} failed, ${await uploads(one, 'skipped')} skipped`,
    )
    const other = await cached()
    await pullBlob(other, 'p/r', shared)
    assert.equal(await other.metric('berth_shared_cache_reads_total{result="hit"}'), 1)
    const warnings = one
      .logs()
      .filter(({ level, bucket, digest }) => level === 'warn' && (bucket ?? digest))
    t.diagnostic(JSON.stringify(warnings))
    assert.deepEqual(
      warnings.map(({ msg }) => msg),
      ['cannot upload a blob to the bucket of the cache', 'the bucket denies requests'],
    )
    const ready = (await get(`${one.admin}/readyz`)).body.toString('utf8')
    assert.match(ready, /"bucket of the cache":"cannot write objects in .* 403 AccessDenied/)
    assert.equal(await one.metric('berth_shared_cache_available'), 0)
    assert.equal((await doctor('cache'))[0], 'write: failed')

    await seaweedfs.allow(old)
    await eventually('blobs are uploaded again', async () => {
      await pullNew(one)
      return (await uploads(one, 'stored')) > 1
    })
    assert.equal(await one.metric('berth_shared_cache_available'), 1)
  })

  const doctor = async (use: 'cache' | 'hosted'): Promise<readonly string[]> => {
    const bucket = { type: 's3', name: 'registry', endpoint: seaweedfs.url }
    const { status, stdout } = await attempt(
      [
        ...[process.execPath, main, 'doctor', 'bucket', '-o', 'json'],
        ...Object.entries(bucket).flatMap(([field, value]) => [
          '--set',
          `storage.${use}.bucket.${field}=${value}`,
        ]),
      ],
      { environment: { AWS_SHARED_CREDENTIALS_FILE: file, HOME: '/nonexistent' } },
    )
    assert.equal(status, 1)
    const { buckets } = JSON.parse(stdout) as {
      readonly buckets: readonly {
        readonly findings: readonly { readonly step: string; readonly outcome: string }[]
      }[]
    }
    return buckets.flatMap(({ findings }) =>
      findings.map(({ step, outcome }) => `${step}: ${outcome}`),
    )
  }
})
