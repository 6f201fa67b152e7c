import assert from 'node:assert/strict'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, suite, test } from 'node:test'
import { blobPath, type ObjectStore } from '../../src/store/store.ts'
import {
  type Berth,
  checkInvariants,
  eventually,
  removeBerth,
  startBerth,
  visibleBlobs,
} from '../support/berth.ts'
import { type Bucket, type BucketServer, bucketServers } from '../support/bucket-servers.ts'
import { get } from '../support/client.ts'
import { main } from '../support/command.ts'
import { type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.ts'
import { type Blob, makeImage, randomBlob } from '../support/images.ts'
import { attempt, run } from '../support/programs.ts'
import { getBlob, pullBlob, pullImage } from '../support/pull.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

const large = 3_000_000

for (const server of bucketServers)
  suite(`the second level of the cache in a bucket of ${server.name}`, () => testCache(server))

function testCache({ startBucket, settings }: BucketServer): void {
  let server: Bucket
  let proxy: FaultyProxy
  let upstream: ScriptedUpstream
  /** Without the proxy. */
  let bucket: ObjectStore
  const berths: Berth[] = []

  before(async () => {
    server = await startBucket()
    proxy = await startFaultyProxy(server.url)
    upstream = await startScriptedUpstream()
    bucket = await server.open()
  })
  after(async () => {
    await Promise.all([bucket.close(), proxy.close(), upstream.close()])
    await server.close()
  })
  beforeEach(async () => {
    berths.push(await start())
  })
  afterEach(async () => {
    proxy.behave()
    upstream.behave()
    for (const berth of berths.splice(0)) {
      await checkInvariants(berth)
      await removeBerth(berth)
    }
  })

  /** A replica with an empty disk. The time limit is for faults that are silent. */
  const start = (cache: object = {}) => {
    const bucket = server.configAt(proxy.url)
    const storage = { cache: { bucket, bucketTimeout: '30s', ...cache } }
    const config = { upstreams: [{ url: upstream.url }], storage }
    return startBerth({ config, environment: server.keys })
  }
  const startAnother = async (cache?: object): Promise<Berth> => {
    const berth = await start(cache)
    berths.push(berth)
    return berth
  }
  const first = (): Berth => {
    const [berth] = berths
    if (berth === undefined) throw new Error('no Berth runs')
    return berth
  }

  const keyOf = ({ digest }: Blob) => blobPath('cache', digest)
  const atUpstream = (size: number, repository = 'p/r'): Blob => {
    const blob = randomBlob(size)
    upstream.putBlob(repository, blob)
    return blob
  }
  /** In the bucket as well, because another replica has uploaded it. */
  const inBucket = async (size: number, bytes?: Buffer): Promise<Blob> => {
    const blob = atUpstream(size)
    await bucket.put(keyOf(blob), bytes ?? blob.bytes)
    return blob
  }
  const gets = ({ digest }: Blob) =>
    upstream.requests
      .filter(({ method, path }) => method === 'GET' && path.includes(digest))
      .map(({ headers }) => headers['range'])
  const uploaded = (berth: Berth, result: string) =>
    eventually(
      `an upload is ${result}`,
      async () =>
        (await berth.metric(`berth_shared_cache_uploads_total{result="${result}"}`)) === 1,
    )

  test('what one replica fetched, another gets from the bucket, and the upstream sends it once', async () => {
    for (const size of [100, large, 17_000_000]) {
      const blob = atUpstream(size)
      const [one, two] = [first(), await startAnother()]
      const before = await one.metric('berth_shared_cache_uploads_total{result="stored"}')
      await pullBlob(one, 'p/r', blob)
      await eventually(
        'it is uploaded',
        async () =>
          (await one.metric('berth_shared_cache_uploads_total{result="stored"}')) === before + 1,
      )
      assert.equal((await bucket.head(keyOf(blob)))?.size, size)
      assert.equal(await pullBlob(two, 'p/r', blob), 'miss')
      assert.equal(await pullBlob(two, 'p/r', blob), 'hit')
      assert.deepEqual(gets(blob), [undefined])
      assert.equal(await two.metric('berth_shared_cache_reads_total{result="hit"}'), 1)
    }
  })

  test('two replicas that fetch at the same time agree on one object', async () => {
    const blob = atUpstream(large)
    const two = await startAnother()
    const gate = Promise.withResolvers<void>()
    const asked = Promise.withResolvers<void>()
    upstream.on(
      `GET /v2/p/r/blobs/${blob.digest}`,
      async ({ reply }) => {
        if (gets(blob).length === 2) asked.resolve()
        await gate.promise
        reply(200, {}, blob.bytes)
      },
      2,
    )
    const pulls = [first(), two].map((berth) => pullBlob(berth, 'p/r', blob))
    await asked.promise
    gate.resolve()
    await Promise.all(pulls)
    await eventually('both have uploaded it', async () => {
      const counts = await Promise.all(
        [first(), two].flatMap((berth) =>
          ['stored', 'exists'].map((result) =>
            berth.metric(`berth_shared_cache_uploads_total{result="${result}"}`),
          ),
        ),
      )
      return counts.reduce((sum, count) => sum + count) === 2
    })
    assert.equal((await bucket.head(keyOf(blob)))?.size, large)
  })

  test('the bucket grants nothing: the upstream is asked for each repository', async () => {
    const blob = await inBucket(large)
    assert.equal((await getBlob(first(), 'p/other', blob)).status, 404)
    upstream.on('/v2/p/denied/', ({ reply }) => reply(403, {}, '{"errors":[{"code":"DENIED"}]}'))
    assert.equal((await getBlob(first(), 'p/denied', blob)).status, 403)
    assert.deepEqual(await visibleBlobs(first().cache), [])
    const before = gets(blob).length
    await pullBlob(first(), 'p/r', blob)
    assert.equal(gets(blob).length, before)
  })

  test('while the upstream is down, only known permissions count', async () => {
    const blob = await inBucket(large)
    const known = await inBucket(large)
    await pullBlob(first(), 'p/r', known)
    await rm(blobPath(first().cache, known.digest))
    upstream.misbehave(
      () =>
        ({ reset }) =>
          reset(),
    )
    await pullBlob(first(), 'p/r', known)
    assert.ok((await getBlob(first(), 'p/r', blob)).status >= 500)
  })

  test('an object with wrong bytes is not served, and replaced', async () => {
    const blob = await inBucket(large, Buffer.alloc(large, 'x'))
    assert.equal((await getBlob(first(), 'p/r', blob)).complete, false)
    await eventually('it is deleted', async () => (await bucket.head(keyOf(blob))) === undefined)
    await pullBlob(first(), 'p/r', blob)
    assert.deepEqual(gets(blob), [undefined])
    await uploaded(first(), 'stored')
    await pullBlob(await startAnother(), 'p/r', blob)
    assert.deepEqual(gets(blob), [undefined])
  })

  test('a small object with wrong bytes costs no client an error', async () => {
    const blob = await inBucket(200_000, Buffer.alloc(200_000, 'x'))
    assert.equal(await pullBlob(first(), 'p/r', blob), 'miss')
    assert.deepEqual(gets(blob), [undefined])
    await uploaded(first(), 'stored')
    assert.ok((await bucket.read(keyOf(blob)))?.bytes.equals(blob.bytes))
  })

  test('an object whose connection breaks is continued by the upstream at the byte reached', async () => {
    const blob = await inBucket(large)
    proxy.fail((line) => (line.startsWith('GET') ? { kind: 'cut', after: 1_000_000 } : undefined))
    assert.equal(await pullBlob(first(), 'p/r', blob), 'miss')
    const [range = '', ...more] = gets(blob)
    assert.match(range, /^bytes=[1-9]\d*-$/)
    assert.deepEqual(more, [])
    await uploaded(first(), 'exists')
  })

  for (const [what, fault, timeout] of [
    ['is down', { kind: 'reset' }, '30s'],
    ['is silent', { kind: 'silence' }, '200ms'],
    [
      'asks for fewer requests',
      { kind: 'answer', status: 503, body: '<Error><Code>SlowDown</Code></Error>' },
      '200ms',
    ],
    [
      'denies access',
      { kind: 'answer', status: 403, body: '<Error><Code>AccessDenied</Code></Error>' },
      '30s',
    ],
  ] as const)
    test(`pulls succeed while the bucket ${what}, and after some failures do not wait for it`, async () => {
      const berth = await startAnother({ bucketTimeout: timeout })
      proxy.fail(() => fault)
      await eventually('it is not asked any more', async () => {
        assert.equal(await pullBlob(berth, 'p/r', atUpstream(1000)), 'miss')
        return (await berth.metric('berth_shared_cache_reads_total{result="skipped"}')) > 0
      })
      assert.equal(await berth.metric('berth_shared_cache_available'), 0)
    })

  test('clients are redirected to the bucket for large blobs only, and with the right to them', async () => {
    const layer = randomBlob(large)
    const image = makeImage({ layers: [layer, randomBlob(1000)] })
    upstream.put('p/image', undefined, image)
    await pullImage(first(), 'p/image', image)
    await eventually('it is uploaded', async () => {
      const stored = await first().metric('berth_shared_cache_uploads_total{result="stored"}')
      return stored === image.blobs.length
    })
    const berth = await startAnother({ redirects: { enabled: true, minSize: '1MiB' } })
    const blob = (repository: string) => `${berth.url}/v2/${repository}/blobs/${layer.digest}`
    assert.equal((await get(blob('p/image'))).status, 307)
    const head = await get(blob('p/image'), { method: 'HEAD' })
    assert.deepEqual([head.status, head.headers['content-length']], [200, String(large)])
    const [before, signed] = [gets(layer).length, proxy.count(/X-(Amz|Goog)-Signature/)]
    const directory = join(berth.directory, 'pulled')
    const source = `docker://${new URL(berth.url).host}/p/image@${image.digest}`
    await run(['skopeo', 'copy', '--src-tls-verify=false', source, `dir:${directory}`], {
      environment: { HOME: berth.directory },
    })
    const pulled = await readFile(join(directory, layer.digest.slice('sha256:'.length)))
    assert.ok(pulled.equals(layer.bytes))
    assert.equal(proxy.count(/^GET .*X-(Amz|Goog)-Signature/), signed + 1)
    assert.equal(gets(layer).length, before)
    assert.equal((await get(blob('p/other'))).status, 404)
  })

  const doctor = async () => {
    const fields = Object.entries(server.configAt(proxy.url)).flatMap(([field, value]) => [
      '--set',
      `storage.cache.bucket.${field}=${value}`,
    ])
    const { status, stdout } = await attempt(
      [
        ...[process.execPath, main, 'doctor', 'bucket', '-o', 'json', ...fields],
        ...['--set', 'storage.cache.redirects.enabled=true'],
      ],
      { environment: { ...server.keys, HOME: '/nonexistent' } },
    )
    const { buckets } = JSON.parse(stdout) as {
      readonly buckets: readonly {
        readonly findings: readonly { readonly step: string; readonly outcome: string }[]
      }[]
    }
    const findings = buckets.flatMap((each) => each.findings)
    return { status, outcomes: findings.map(({ step, outcome }) => `${step}: ${outcome}`) }
  }

  test('the doctor tries what Berth needs of a bucket, and removes its object', async () => {
    const steps = ['write', 'condition', 'read', 'list', 'clock', 'redirect', 'delete', ...settings]
    assert.deepEqual(await doctor(), { status: 0, outcomes: steps.map((step) => `${step}: ok`) })
    for await (const { objects } of bucket.list('cache/_berth-doctor/'))
      assert.deepEqual(objects, [])
    proxy.fail((line) =>
      /^P(U|OS)T /.test(line)
        ? { kind: 'answer', status: 403, body: '<Error><Code>AccessDenied</Code></Error>' }
        : undefined,
    )
    const { status, outcomes } = await doctor()
    assert.deepEqual([status, ...outcomes.slice(0, 2)], [1, 'write: failed', 'condition: skipped'])
  })
}
