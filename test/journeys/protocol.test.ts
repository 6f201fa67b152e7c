import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../support/berth.ts'
import { codeOf, get, type Reply } from '../support/client.ts'
import { type Image, makeImage, makeIndex, randomBlob } from '../support/images.ts'
import { getBlob, pullBlob, pullImage } from '../support/pull.ts'
import { connectRaw } from '../support/raw.ts'
import { answerInTwo } from '../support/scripted-upstream.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const name = 'project/repository/app'
const upstream = await useUpstream()
const berth = useBerth({ config: config() })

function config(tags: object = {}) {
  return { upstreams: [{ url: upstream.url, tags }] }
}

function getManifest(
  reference: string,
  options: { readonly method?: string; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<Reply> {
  return get(`${berth.url}/v2/${name}/manifests/${reference}`, options)
}

/** A manifest of exactly this size in bytes. */
function manifestOfSize(size: number): Image {
  const layers = [randomBlob(10)]
  const { bytes } = makeImage({ layers, extra: { annotations: { padding: '' } } })
  const padding = 'x'.repeat(size - bytes.length)
  return makeImage({ layers, extra: { annotations: { padding } } })
}

test('the version check answers 200 with and without a trailing slash (P1)', async () => {
  const before = upstream.requests.length
  for (const path of ['/v2/', '/v2', '/v2/?x=1'])
    for (const method of ['GET', 'HEAD']) {
      const { status, headers, body } = await get(berth.url + path, { method })
      assert.equal(status, 200, path)
      assert.equal(headers['docker-distribution-api-version'], 'registry/2.0')
      assert.equal(headers['content-type'], 'application/json')
      assert.equal(headers['www-authenticate'], undefined)
      assert.equal(body.toString(), method === 'GET' ? '{}' : '')
    }
  assert.equal(upstream.requests.length, before)
})

test('a manifest has the same headers by tag and digest, for GET and HEAD, cold and cached (P2)', async () => {
  const image = makeImage({ docker: true })
  upstream.put(name, 'v1', image)
  for (const state of ['cold', 'cached'])
    for (const reference of ['v1', image.digest])
      for (const method of ['HEAD', 'GET']) {
        const { status, headers, body } = await getManifest(reference, { method })
        assert.equal(status, 200, `${state} ${method} ${reference}`)
        assert.equal(headers['content-length'], String(image.bytes.length))
        assert.equal(headers['content-type'], image.mediaType)
        assert.equal(headers['docker-content-digest'], image.digest)
        assert.equal(headers.etag, `"${image.digest}"`)
        assert.deepEqual(body, method === 'GET' ? image.bytes : Buffer.alloc(0))
      }
})

test('a connection can be reused after a HEAD request (P2)', async () => {
  const image = makeImage()
  upstream.put(name, 'v1', image)
  const client = await connectRaw(berth.url)
  for (const path of [`/v2/${name}/manifests/v1`, `/v2/${name}/blobs/${image.blobs[0]?.digest}`]) {
    client.ask(`HEAD ${path} HTTP/1.1`, 'Host: x')
    assert.equal((await client.reply({ bodiless: true })).status, 200, path)
  }
  client.ask('GET /v2/ HTTP/1.1', 'Host: x')
  assert.equal((await client.reply()).body.toString(), '{}')
  client.socket.destroy()
})

test('an index is returned unchanged for any Accept header (P3)', async () => {
  const index = makeIndex([makeImage(), makeImage({ architecture: 'arm64' })])
  upstream.put(name, 'multi', index)
  for (const accept of [
    'application/vnd.oci.image.manifest.v1+json',
    'application/vnd.docker.distribution.manifest.v1+json',
    'text/html',
    '*/*;q=0',
  ]) {
    const { status, headers, body } = await getManifest('multi', { headers: { accept } })
    assert.equal(status, 200, accept)
    assert.equal(headers['content-type'], index.mediaType)
    assert.deepEqual(body, index.bytes)
  }
})

test('a changed tag returns the old image until its ttl ends, then the new one (P5)', async () => {
  const [older, newer] = [makeImage(), makeImage()]
  await berth.start({ config: config({ ttl: '1h' }) })
  upstream.put(name, 'moving', older)
  await pullImage(berth, name, older, 'moving')
  upstream.put(name, 'moving', newer)
  await pullImage(berth, name, older, 'moving')

  await berth.start({ config: config({ ttl: 0 }) })
  await pullImage(berth, name, newer, 'moving')
  upstream.put(name, 'moving', older)
  await eventually('the tag has moved', async () => {
    const { headers } = await getManifest('moving')
    return headers['docker-content-digest'] === older.digest
  })
  await pullImage(berth, name, older, 'moving')
  await pullImage(berth, name, newer)
})

test("a manifest of up to 4 MiB is accepted; one more byte is the upstream's error (P10)", async () => {
  for (const size of [3_900_000, 4 * 1024 * 1024]) {
    const large = manifestOfSize(size)
    assert.equal(large.bytes.length, size)
    upstream.put(name, 'large', large)
    await pullImage(berth, name, large)
  }
  const oversized = manifestOfSize(4 * 1024 * 1024 + 1)
  upstream.put(name, 'oversized', oversized)
  for (const reference of ['oversized', oversized.digest]) {
    const refused = await getManifest(reference)
    assert.equal(refused.status, 502, reference)
    assert.equal(codeOf(refused), 'SIZE_INVALID')
  }
  assert.equal((await getManifest('v0')).status, 404, 'the upstream is still in use')
})

test('range requests during a download get the right bytes, with one download (P12)', async () => {
  const blob = randomBlob(3_000_000)
  upstream.putBlob(name, blob)
  const gate = Promise.withResolvers<void>()
  upstream.on(
    `GET /v2/${name}/blobs/${blob.digest}`,
    answerInTwo(blob.bytes, 1_000_000, gate.promise),
  )
  const ranges = [
    [500, 1499],
    [0, 0],
    [2_999_000, 2_999_999],
    [1_500_000, 2_999_999],
  ] as const
  const asking = ranges.map(([first, last]) =>
    get(`${berth.url}/v2/${name}/blobs/${blob.digest}`, {
      headers: { range: `bytes=${first}-${last}` },
    }),
  )
  const [early] = await Promise.all(asking.slice(0, 1))
  assert.deepEqual(
    early?.body,
    blob.bytes.subarray(500, 1500),
    'the first range does not wait for the rest',
  )
  gate.resolve()
  for (const [at, { status, headers, body }] of (await Promise.all(asking)).entries()) {
    const [first, last] = ranges[at] ?? [0, 0]
    assert.equal(status, 206)
    assert.equal(headers['content-range'], `bytes ${first}-${last}/3000000`)
    assert.equal(headers['content-length'], String(last - first + 1))
    assert.deepEqual(body, blob.bytes.subarray(first, last + 1))
  }
  assert.equal(await pullBlob(berth, name, blob), 'hit')
  assert.equal(upstream.count(blob.digest), 1)
})

test('a matching If-None-Match gets 304 without a body, for manifests and blobs (P14)', async () => {
  const image = makeImage()
  upstream.put(name, 'v1', image)
  const paths = [
    ['manifests/v1', image.digest],
    [`manifests/${image.digest}`, image.digest],
    ...image.blobs.map(({ digest }) => [`blobs/${digest}`, digest] as const),
  ] as const
  await pullImage(berth, name, image, 'v1')
  for (const [path, digest] of paths) {
    const url = `${berth.url}/v2/${name}/${path}`
    const same = await get(url, { headers: { 'if-none-match': `"${digest}"` } })
    assert.equal(same.status, 304, path)
    assert.equal(same.headers.etag, `"${digest}"`)
    assert.equal(same.body.length, 0)
    const other = `"sha256:${'0'.repeat(64)}"`
    assert.equal((await get(url, { headers: { 'if-none-match': other } })).status, 200, path)
  }
})

test('If-None-Match accepts lists, weak tags and * (P14)', async () => {
  const image = makeImage()
  upstream.put(name, 'v1', image)
  await pullImage(berth, name, image, 'v1')
  const other = `"sha256:${'0'.repeat(64)}"`
  for (const path of ['manifests/v1', `blobs/${image.blobs[0]?.digest}`]) {
    const digest = path.startsWith('blobs') ? image.blobs[0]?.digest : image.digest
    for (const header of [`W/"${digest}"`, `${other}, "${digest}"`, '*'])
      for (const method of ['GET', 'HEAD']) {
        const { status } = await get(`${berth.url}/v2/${name}/${path}`, {
          method,
          headers: { 'if-none-match': header },
        })
        assert.equal(status, 304, `${method} ${path} ${header}`)
      }
  }
})

test('missing content is 404 with the error code of its kind (P20)', async () => {
  upstream.put(name, 'v1', makeImage())
  const nothing = randomBlob(1)
  assert.equal(codeOf(await getManifest('v2')), 'MANIFEST_UNKNOWN')
  assert.equal(codeOf(await getManifest(nothing.digest)), 'MANIFEST_UNKNOWN')
  assert.equal(codeOf(await getBlob(berth, name, nothing)), 'BLOB_UNKNOWN')
  const tags = await get(`${berth.url}/v2/nowhere/tags/list`)
  assert.equal(tags.status, 404)
  assert.equal(codeOf(tags), 'NAME_UNKNOWN')
})
