import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { type Berth, checkInvariants, removeBerth, startBerth } from '../support/berth.ts'
import { get } from '../support/client.ts'
import { type Image, makeImage } from '../support/images.ts'
import { createPushClient, type PushClient } from '../support/push-client.ts'

const everything = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]
const auth = { access: everything }
/** Hosted, and of an upstream that takes pushes. */
const names = ['local/app', 'up/local/other']
const other = `"sha256:${'0'.repeat(64)}"`

let upstream: Berth
let berth: Berth
let client: PushClient

beforeEach(async () => {
  upstream = await startBerth({ config: { upstreams: [], auth } })
  const upstreams = [{ prefix: 'up', url: upstream.url, push: true }]
  berth = await startBerth({ config: { upstreams, hosted: [{ prefix: 'local' }], auth } })
  client = createPushClient(berth.url)
})
afterEach(async () => {
  await checkInvariants(berth)
  await removeBerth(berth)
  await removeBerth(upstream)
})

async function put(
  name: string,
  reference: string,
  image: Image,
  headers: Readonly<Record<string, string>>,
) {
  const all = new Headers(headers)
  all.set('content-type', image.mediaType)
  const body = Uint8Array.from(image.bytes)
  const { status } = await client.send('PUT', `${name}/manifests/${reference}`, {
    body,
    headers: all,
  })
  return status
}

async function remove(name: string, path: string, headers: Readonly<Record<string, string>>) {
  return (await client.send('DELETE', `${name}/${path}`, { headers })).status
}

async function tagged(name: string, tag: string): Promise<unknown> {
  return (await get(`${berth.url}/v2/${name}/manifests/${tag}`)).headers['docker-content-digest']
}

test('a tag is set only if it is new with If-None-Match, or only if it is what the client saw with If-Match', async () => {
  for (const name of names) {
    const [first, second] = [makeImage(), makeImage()]
    for (const image of [first, second])
      for (const blob of image.blobs) await client.pushBlob(name, blob)
    assert.equal(await put(name, 'v1', first, { 'if-match': '*' }), 412, 'it does not exist')
    assert.equal(await put(name, 'v1', first, { 'if-none-match': '*' }), 201)
    assert.equal(await put(name, 'v1', second, { 'if-none-match': '*' }), 412)
    assert.equal(await put(name, 'v1', second, { 'if-match': other }), 412)
    assert.equal(await put(name, 'v1', second, { 'if-match': `W/"${first.digest}"` }), 412)
    assert.equal(await put(name, 'v1', second, { 'if-none-match': `W/"${first.digest}"` }), 412)
    assert.equal(await tagged(name, 'v1'), first.digest)
    assert.equal(await put(name, 'v1', second, { 'if-match': `${other}, "${first.digest}"` }), 201)
    assert.equal(await tagged(name, 'v1'), second.digest)
    assert.equal(await put(name, second.digest, second, { 'if-none-match': '*' }), 412)
    assert.equal(await put(name, second.digest, second, { 'if-match': '*' }), 201)
  }
})

test('nothing is deleted that is not what the client saw', async () => {
  for (const name of names) {
    const image = makeImage()
    await client.push(name, image, 'v1')
    const [blob] = image.blobs
    const paths = [`manifests/v1`, `manifests/${image.digest}`, `blobs/${blob?.digest}`]
    for (const path of paths) {
      assert.equal(await remove(name, path, { 'if-match': other }), 412, path)
      assert.equal((await get(`${berth.url}/v2/${name}/${path}`)).status, 200, path)
    }
    for (const missing of ['v2', makeImage().digest])
      assert.equal(await remove(name, `manifests/${missing}`, { 'if-match': other }), 404)
    for (const path of paths) {
      const digest = path.startsWith('blobs') ? blob?.digest : image.digest
      assert.equal(await remove(name, path, { 'if-match': `"${digest}"` }), 202, path)
      assert.equal((await get(`${berth.url}/v2/${name}/${path}`)).status, 404, path)
    }
  }
})

test('what the client does not want is not sent', async () => {
  for (const name of names) {
    const image = makeImage()
    await client.push(name, image, 'v1')
    const [blob] = image.blobs
    for (const path of ['manifests/v1', `manifests/${image.digest}`, `blobs/${blob?.digest}`])
      for (const method of ['GET', 'HEAD', 'GET']) {
        const url = `${berth.url}/v2/${name}/${path}`
        const digest = path.startsWith('blobs') ? blob?.digest : image.digest
        const ask = (value: string) => get(url, { method, headers: { 'if-match': value } })
        assert.equal((await ask(other)).status, 412, `${method} ${path}`)
        assert.equal((await ask(`W/"${digest}"`)).status, 412, `${method} ${path}`)
        assert.equal((await ask(`${other}, "${digest}"`)).status, 200, `${method} ${path}`)
        assert.equal((await ask('*')).status, 200, `${method} ${path}`)
      }
  }
})

test('of many that set a new tag at once, one does', async () => {
  const images = Array.from({ length: 12 }, () => makeImage())
  for (const image of images)
    for (const blob of image.blobs) await client.pushBlob('local/app', blob)
  const statuses = await Promise.all(
    images.map((image) => put('local/app', 'v1', image, { 'if-none-match': '*' })),
  )
  assert.deepEqual(statuses.toSorted(), [201, ...Array.from({ length: 11 }, () => 412)])
  assert.equal(await tagged('local/app', 'v1'), images[statuses.indexOf(201)]?.digest)
})
