import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { isRegistryError, type RegistryError } from '../../src/oci/errors.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { parseRepositoryName, type Tag } from '../../src/oci/reference.ts'
import type { Remote, RemoteBlob } from '../../src/remote/remote.ts'
import { eventually } from '../support/berth.ts'
import { useClock } from '../support/clock.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { openRemote, readAll } from '../support/remotes.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

const name = parseRepositoryName('team/app')
const tag = 'v1' as Tag
const image: Image = makeImage()
const { digest } = image
const whole = { digest, bytes: image.bytes, contentType: image.mediaType }
const blob = randomBlob(1000)

let upstream: ScriptedUpstream
let remote: Remote

before(async () => {
  upstream = await startScriptedUpstream()
})
after(() => upstream.close())
beforeEach(() => {
  upstream.behave()
  upstream.put(name, tag, image)
  upstream.putBlob(name, blob)
  remote = openRemote({ url: upstream.url })
})
afterEach(() => remote.close())

function refused(code: RegistryError['code'], status: number, message = /./) {
  return (error: unknown): boolean => {
    assert.ok(isRegistryError(error, code), String(error))
    assert.equal(error.status, status, error.message)
    assert.match(error.message, message)
    return true
  }
}

test('a manifest has its bytes and their digest', async () => {
  for (const reference of [{ tag }, { digest }])
    assert.partialDeepStrictEqual(await remote.manifest(name, reference), whole)
})

test('all known types of manifests are accepted, and then any type', async () => {
  await remote.manifest(name, { tag })
  const accept = upstream.requests.at(-1)?.headers['accept'] ?? ''
  for (const type of Object.values(mediaTypes)) assert.ok(accept.includes(type), type)
  assert.match(accept, /\*\/\*;q=0\.5$/)
})

test('a digest is computed with the requested algorithm (P8)', async () => {
  const long = digestOf(image.bytes, 'sha512')
  upstream.on(`/manifests/${long}`, ({ reply }) => reply(200, {}, image.bytes))
  assert.equal((await remote.manifest(name, { digest: long }))?.digest, long)
})

test('content with another digest is rejected (P4)', async () => {
  upstream.on(`/manifests/${digest}`, ({ reply }) => reply(200, {}, makeImage().bytes))
  await assert.rejects(
    remote.manifest(name, { digest }),
    refused(
      'DIGEST_INVALID',
      502,
      new RegExp(`${upstream.url} sent content with another digest for ${digest}`),
    ),
  )
})

test('a tag without a digest in its answer gets the digest of its bytes, and a wrong or invalid one is rejected (U37)', async () => {
  const answering = (headers: Record<string, string | string[]>) => {
    upstream.behave()
    upstream.on(`GET /v2/${name}/manifests/v1`, ({ reply }) => reply(200, headers, image.bytes))
  }
  answering({})
  assert.equal((await remote.manifest(name, { tag }))?.digest, digest)
  answering({ 'docker-content-digest': [digest, digest] })
  assert.equal((await remote.manifest(name, { tag }))?.digest, digest)
  for (const announced of [
    [digest, makeImage().digest],
    makeImage().digest,
    'sha256:xyz',
    '../../etc',
    '',
  ]) {
    answering({ 'docker-content-digest': announced })
    await assert.rejects(remote.manifest(name, { tag }), refused('DIGEST_INVALID', 502))
  }
})

test('a truncated manifest is rejected, with and without its length (U31, U32)', async () => {
  const half = image.bytes.subarray(0, 100)
  upstream.on('/manifests/', async ({ head, write, end }) => {
    head(200, { 'content-length': String(image.bytes.length) })
    await write(half)
    end()
  })
  await assert.rejects(remote.manifest(name, { digest }), refused('UNAVAILABLE', 503))
  upstream.behave()
  upstream.on('/manifests/', async ({ head, write, end }) => {
    head(200, { connection: 'close' })
    await write(half)
    end()
  })
  await assert.rejects(remote.manifest(name, { digest }), refused('DIGEST_INVALID', 502))
})

test('a manifest of more than 4 MiB, or without an end, is rejected and its connection closed (U40)', async () => {
  upstream.on('/manifests/', async ({ head, write, socket }) => {
    head(200, { 'transfer-encoding': 'chunked' })
    const chunk = Buffer.concat([
      Buffer.from('10000\r\n'),
      Buffer.alloc(65_536),
      Buffer.from('\r\n'),
    ])
    while (!socket.destroyed && socket.writable) await Promise.race([write(chunk), closed(socket)])
  })
  await assert.rejects(remote.manifest(name, { tag }), refused('SIZE_INVALID', 502))
  const { socket } = upstream.requests.at(-1) ?? {}
  await eventually('the connection is closed', () => socket?.closed === true)
})

function closed(socket: { once(event: 'close', done: () => void): unknown }): Promise<void> {
  return new Promise((resolve) => socket.once('close', resolve))
}

test('a tag is resolved without its manifest', async () => {
  assert.equal(await remote.resolve(name, tag), digest)
  assert.deepEqual(upstream.requests.at(-1)?.method, 'HEAD')
  assert.equal(await remote.resolve(name, 'none' as Tag), undefined)
})

test('the manifest is fetched if HEAD is refused or has no digest', async () => {
  for (const status of [405, 501, 200]) {
    upstream.behave()
    upstream.on('HEAD', ({ head }) => head(status, { 'content-length': '0' }))
    assert.partialDeepStrictEqual(await remote.resolve(name, tag), whole)
  }
})

test('a HEAD with an invalid digest is rejected (U37)', async () => {
  const headers = { 'docker-content-digest': 'sha256:nonsense', 'content-length': '3' }
  upstream.on('HEAD', ({ head }) => head(200, headers))
  await assert.rejects(remote.resolve(name, tag), refused('DIGEST_INVALID', 502))
})

async function contentOf(found: RemoteBlob | undefined): Promise<Buffer> {
  assert.ok(found !== undefined)
  return readAll(found.body)
}

test('a blob is returned whole, or from the requested offset', async () => {
  const whole = await remote.blob(name, blob.digest, 0)
  assert.deepEqual([whole?.size, whole?.from], [1000, 0])
  assert.deepEqual(await contentOf(whole), blob.bytes)
  const rest = await remote.blob(name, blob.digest, 400)
  assert.deepEqual([rest?.size, rest?.from], [1000, 400])
  assert.deepEqual(await contentOf(rest), blob.bytes.subarray(400))
  assert.equal(upstream.requests.at(-1)?.headers['range'], 'bytes=400-')
  assert.equal(upstream.requests.at(-2)?.headers['range'], undefined)
})

test('an upstream without ranges sends from the start, which is reported', async () => {
  upstream.on('/blobs/', ({ reply }) => reply(200, {}, blob.bytes))
  const found = await remote.blob(name, blob.digest, 400)
  assert.deepEqual([found?.size, found?.from], [1000, 0])
  assert.deepEqual(await contentOf(found), blob.bytes)
})

test('a range other than the requested one is rejected (T18)', async () => {
  const ranges: [from: number, range: string | undefined][] = [
    [400, 'bytes 0-999/1000'],
    [400, 'bytes 401-999/1000'],
    [400, 'bytes 400-998/1000'],
    [400, 'bytes 400-999/*'],
    [400, 'bytes */1000'],
    [400, 'bytes 400-'],
    [400, undefined],
    [0, 'bytes 0-998/1000'],
    [0, 'bytes 1-999/1000'],
  ]
  for (const [from, range] of ranges) {
    upstream.behave()
    const headers = { ...(range !== undefined && { 'content-range': range }) }
    upstream.on('/blobs/', ({ reply }) => reply(206, headers, blob.bytes.subarray(from)))
    await assert.rejects(
      remote.blob(name, blob.digest, from),
      refused('UNAVAILABLE', 502, /another range/),
    )
  }
})

test('a blob that is sent in chunks has no size yet', async () => {
  upstream.on('/blobs/', ({ head, write }) => {
    head(200, { 'transfer-encoding': 'chunked' })
    return write('4\r\nfour\r\n0\r\n\r\n')
  })
  const found = await remote.blob(name, blob.digest, 0)
  assert.equal(found?.size, undefined)
  assert.equal((await contentOf(found)).toString(), 'four')
})

test('a missing blob is a miss', async () => {
  assert.equal(await remote.blob(name, digest, 0), undefined)
  assert.equal(await remote.statBlob(name, digest), undefined)
})

test('HEAD checks whether a blob exists', async () => {
  assert.deepEqual(await remote.statBlob(name, blob.digest), { size: 1000 })
  assert.equal(upstream.requests.at(-1)?.method, 'HEAD')
})

test('GET is used for an upstream that denies HEAD of blobs, or closes the connection, and after three of them alone (issue 53)', async () => {
  for (const refusal of [401, 403, 405, 501, 'hang up'] as const) {
    upstream.behave()
    upstream.on('HEAD', ({ head, end }) => {
      if (refusal === 'hang up') end()
      else head(refusal, { 'content-length': '0' })
    })
    const fresh = openRemote({ url: upstream.url })
    for (let times = 0; times < 3; times += 1)
      assert.equal((await fresh.statBlob(name, blob.digest))?.size, 1000, String(refusal))
    const before = upstream.requests.length
    assert.equal((await fresh.statBlob(name, blob.digest))?.size, 1000)
    assert.deepEqual(
      upstream.requests.slice(before).map(({ method }) => method),
      ['GET'],
    )
    await fresh.close()
  }
})

test('one failed HEAD does not disable HEAD, and many disable it for a limited time (issue 53)', async (t) => {
  const clock = useClock(t)
  upstream.on('HEAD', ({ end }) => end(), 3)
  await remote.statBlob(name, blob.digest)
  await remote.statBlob(name, blob.digest)
  assert.equal(upstream.requests.at(-1)?.method, 'HEAD')
  upstream.on('HEAD', ({ head }) => head(401, { 'content-length': '0' }))
  for (let times = 0; times < 4; times += 1) await remote.statBlob(name, blob.digest)
  assert.equal(upstream.requests.at(-2)?.method, 'GET')
  upstream.behave()
  clock.advance(600_000)
  await remote.statBlob(name, blob.digest)
  assert.equal(upstream.requests.at(-1)?.method, 'HEAD')
})

test('a blob that GET denies too is denied, and HEAD is used again the next time', async () => {
  upstream.on('/blobs/', ({ head }) => head(403, { 'content-length': '0' }))
  await assert.rejects(remote.statBlob(name, blob.digest), refused('DENIED', 403))
  upstream.behave()
  await remote.statBlob(name, blob.digest)
  assert.equal(upstream.requests.at(-1)?.method, 'HEAD')
})

test('names are requested below the path of the upstream', async () => {
  const below = openRemote({ url: `${upstream.url}/artifactory/api/docker/repo/` })
  await below.manifest(parseRepositoryName('a/b'), { tag })
  await below.blob(parseRepositoryName('a/b'), digest, 0)
  assert.deepEqual(
    upstream.requests.slice(-2).map(({ path }) => path),
    [
      '/artifactory/api/docker/repo/v2/a/b/manifests/v1',
      `/artifactory/api/docker/repo/v2/a/b/blobs/${digest}`,
    ],
  )
  assert.equal(below.origin, upstream.url)
  await below.close()
})
