import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, suite, test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { setAwsEnvironment } from '../support/aws.ts'
import {
  type Berth,
  checkInvariants,
  removeBerth,
  startBerth,
  visibleBlobs,
} from '../support/berth.ts'
import { codeOf, get } from '../support/client.ts'
import { main } from '../support/command.ts'
import { type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.ts'
import { type Blob, makeImage, randomBlob } from '../support/images.ts'
import { run } from '../support/programs.ts'
import { getBlob, pullBlob, pullImage } from '../support/pull.ts'
import { createPushClient } from '../support/push-client.ts'
import { type SeaweedFs, startSeaweedFs } from '../support/seaweedfs.ts'
import { until } from '../support/until.ts'

const name = 'registry'
const app = 'local/app'
const access = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]

suite('pulls from hosted repositories in a bucket of SeaweedFS', () => {
  let seaweedfs: SeaweedFs
  let proxy: FaultyProxy
  let restore: () => void
  /** Replicas: one that is pushed to, and another. */
  let berths: readonly [Berth, Berth]

  before(async () => {
    seaweedfs = await startSeaweedFs(name)
    restore = setAwsEnvironment(seaweedfs.keys)
    proxy = await startFaultyProxy(seaweedfs.url)
  })
  after(async () => {
    restore()
    await proxy.close()
    await seaweedfs.close()
  })
  const start = (hosted: object = {}) => {
    const bucket = { type: 's3', name, endpoint: proxy.url }
    return startBerth({
      config: { upstreams: [], auth: { access }, storage: { hosted: { bucket, ...hosted } } },
    })
  }
  beforeEach(async () => {
    berths = [await start(), await start()]
  })
  afterEach(async () => {
    proxy.behave()
    for (const berth of berths) {
      await checkInvariants(berth)
      await removeBerth(berth)
    }
  })

  const client = ({ url }: Berth) => createPushClient(url)
  const head = ({ url }: Berth, { digest }: Blob) =>
    get(`${url}/v2/${app}/blobs/${digest}`, { method: 'HEAD' })
  /** Requests for one blob: its link, mark and bytes. */
  const requests = ({ digest }: Blob) => proxy.count(new RegExp(digest.slice('sha256:'.length)))
  const pushed = async () => {
    const image = makeImage({ layers: [randomBlob(3_000_000)] })
    const layer = image.blobs.at(-1)
    assert.ok(layer !== undefined)
    await client(berths[0]).push(app, image, 'v1')
    return { image, layer }
  }
  const breakBucket = () => proxy.fail(() => ({ kind: 'reset' }))

  test('a pushed blob is on the local disk, and reading it again costs no request', async () => {
    const { image, layer } = await pushed()
    const [one, other] = berths
    const found = (await visibleBlobs(one.cache)).map(({ digest }) => digest)
    for (const { digest } of image.blobs) assert.ok(found.includes(digest))
    /** Without a range: that of one byte only says whether an object is there. */
    const gets = () => proxy.count(/^GET \S*\/data\S*$/)
    const before = gets()
    await pullImage(one, app, image)
    assert.equal(gets(), before)
    for (const berth of [one, other]) {
      await pullImage(berth, app, image)
      const known = requests(layer)
      await pullBlob(berth, app, layer)
      assert.equal((await head(berth, layer)).headers['content-length'], '3000000')
      assert.equal(requests(layer), known)
    }
  })

  test('a manifest whose layer has another size than the object in the bucket is refused', async () => {
    const { image, layer } = await pushed()
    const text = image.bytes.toString().replace('"size":3000000', '"size":3000001')
    const bytes = Buffer.from(text)
    const wrong = { ...image, bytes, digest: digestOf(bytes) }
    const response = await client(berths[1]).putManifest(app, 'v2', wrong)
    assert.equal(response.status, 400)
    assert.match(await response.text(), new RegExp(`${layer.digest} says 3000001 bytes.*3000000`))
  })

  test('many clients of a blob that is not local cost one download', async () => {
    const { layer } = await pushed()
    const other = berths[1]
    const before = requests(layer)
    await Promise.all(Array.from({ length: 20 }, () => pullBlob(other, app, layer)))
    // Its link, mark, and bytes.
    assert.equal(requests(layer) - before, 3)
  })

  test('an image that is not local costs three requests for each of its blobs, four for its manifest, and one for its tag', async (t) => {
    const image = makeImage({ layers: Array.from({ length: 5 }, () => randomBlob(100_000)) })
    await client(berths[0]).push(app, image, 'layers')
    const before = proxy.requests.length
    await pullImage(berths[1], app, image, 'layers')
    const sent = proxy.requests.slice(before).filter((line) => !line.includes('_berth/volume'))
    t.diagnostic(`${sent.length} requests`)
    // Link, mark and bytes of the config and the layers; of the manifest also the size, because of the memory that it takes.
    assert.equal(sent.length, 1 + 4 + 6 * 3)
    assert.equal(new Set(sent).size, sent.length)
    await pullImage(berths[1], app, image, 'layers')
    assert.equal(proxy.requests.length - before - sent.length <= 2, true)
  })

  test('what this replica deletes is gone at once, although it was read before', async () => {
    const { image, layer } = await pushed()
    const [one] = berths
    await pullImage(one, app, image)
    for (const reference of [`manifests/${image.digest}`, `blobs/${layer.digest}`]) {
      const path = `${app}/${reference}`
      assert.equal((await client(one).send('DELETE', path)).status, 202)
      assert.equal((await get(`${one.url}/v2/${path}`)).status, 404)
      assert.equal((await get(`${one.url}/v2/${path}`, { method: 'HEAD' })).status, 404)
    }
    assert.equal((await get(`${one.url}/v2/${app}/manifests/v1`)).status, 404)
  })

  test('clients are sent to the bucket for large blobs that are not on the disk, with the right to them', async (t) => {
    const { layer } = await pushed()
    const [one] = berths
    const berth = await start({ redirects: { enabled: true, minSize: '1MiB' } })
    t.after(() => removeBerth(berth))
    const blob = `blobs/${layer.digest}`
    const range = { headers: { range: 'bytes=5-9' } }
    assert.equal((await get(`${berth.url}/v2/${app}/${blob}`, range)).status, 307)
    assert.equal((await head(berth, layer)).headers['content-length'], '3000000')
    assert.equal((await get(`${berth.url}/v2/local/other/${blob}`)).status, 404)
    assert.equal((await get(`${one.url}/v2/${app}/${blob}`)).status, 200)
    const directory = join(berth.directory, 'pulled')
    const signed = () => proxy.count(/^GET .*X-Amz-Signature/)
    const before = signed()
    const source = `docker://${new URL(berth.url).host}/${app}:v1`
    await run(['skopeo', 'copy', '--src-tls-verify=false', source, `dir:${directory}`], {
      environment: { HOME: berth.directory },
    })
    const pulled = await readFile(join(directory, layer.digest.slice('sha256:'.length)))
    assert.ok(pulled.equals(layer.bytes))
    assert.equal(signed(), before + 1)
    const onDisk = (await visibleBlobs(berth.cache)).map(({ digest }) => digest)
    assert.ok(!onDisk.includes(layer.digest))
    const own = makeImage({ layers: [randomBlob(2_000_000)] })
    await client(berth).push(app, own, 'own')
    await pullImage(berth, app, own)
    breakBucket()
    assert.equal((await get(`${berth.url}/v2/${app}/blobs/${randomBlob(9).digest}`)).status, 503)
  })

  test('while the bucket is down, what is known and local is served, and the rest is unavailable', async () => {
    const { image } = await pushed()
    const [one, other] = berths
    const unknown = makeImage({ layers: [randomBlob(1000)] })
    await client(other).push(app, unknown, 'v2')
    await pullImage(one, app, image, 'v1')
    breakBucket()
    await pullImage(one, app, image, 'v1')
    const blob = unknown.blobs.at(-1)
    assert.ok(blob !== undefined)
    for (const reply of [
      await get(`${one.url}/v2/${app}/manifests/v2`),
      await get(`${one.url}/v2/${app}/manifests/${unknown.digest}`),
      await getBlob(one, app, blob),
    ]) {
      assert.equal(reply.status, 503)
      assert.equal(codeOf(reply), 'UNAVAILABLE')
      assert.match(reply.body.toString(), /s3:\/\/registry/)
      assert.ok(reply.headers['retry-after'] !== undefined)
    }
    assert.equal((await head(one, blob)).status, 503)
  })

  test('a blob whose link is known, and that is not local, is unavailable while the bucket is down', async () => {
    const { layer } = await pushed()
    const other = berths[1]
    assert.equal((await head(other, layer)).status, 200)
    breakBucket()
    assert.equal((await getBlob(other, app, layer)).status, 503)
  })

  test('a list of images in use that is stored at one replica protects them from all', async () => {
    const { image } = await pushed()
    const other = berths[1]
    const inUse = (...args: readonly string[]) =>
      run(
        [
          process.execPath,
          main,
          'in-use',
          ...args,
          '--config',
          join(berths[0].directory, 'berth.yaml'),
        ],
        {
          environment: { ...seaweedfs.keys, HOME: '/nonexistent' },
          input: `localhost/${app}:v1`,
        },
      )
    const knows = (count: number) =>
      until(`the other replica knows ${count} images`, async () =>
        assert.equal(await other.metric('berth_in_use_images'), count),
      )
    const remove = async () =>
      (await client(other).send('DELETE', `${app}/manifests/${image.digest}`)).status
    await inUse('put', 'edge')
    await knows(1)
    assert.equal(await remove(), 405)
    await inUse('remove', 'edge')
    await knows(0)
    assert.equal(await remove(), 202)
  })
})
