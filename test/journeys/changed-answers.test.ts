import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { get, type Reply } from '../support/client.ts'
import { type Image, makeImage } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import { type Answering, noRegistry } from '../support/scripted-upstream.ts'
import { until } from '../support/until.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

/** What something between Berth and its upstream makes of the answers: messages and /readyz say what. */
const name = 'p/r'
const upstream = await useUpstream()
const berth = useBerth({ config: { upstreams: [{ url: upstream.url, tags: { ttl: '1ms' } }] } })
let image: Image

beforeEach(() => {
  image = makeImage()
  upstream.put(name, 'v1', image)
})

const ask = (path: string) => get(`${berth.url}/v2/${name}/${path}`)
const readiness = async () => (await get(`${berth.admin}/readyz`)).body.toString()

function assertSays(reply: Reply, status: number, message: RegExp): void {
  assert.equal(reply.status, status)
  assert.match(reply.body.toString(), message)
}

const page: Answering = ({ method, head, reply }) => {
  const headers = { ...noRegistry, 'content-type': 'text/html' }
  const body = '\n<!doctype html><title>Log in</title>'
  if (method === 'HEAD') head(200, { ...headers, 'content-length': String(body.length) })
  else reply(200, headers, body)
}

test('a page with status 200 is no registry’s answer: messages and /readyz say so until it is gone', async () => {
  upstream.on('/v2/', page)
  const message = /answered 200, but not as a registry does; check the URL, and what answers there/
  for (const path of ['manifests/v1', `manifests/${image.digest}`, 'tags/list']) {
    assertSays(await ask(path), 502, message)
    assert.match(await readiness(), message)
  }
  upstream.behave()
  await until('the image is pulled', () => pullImage(berth, name, image, 'v1'))
  assert.doesNotMatch(await readiness(), message)
})

test('a cached tag is stale, and not gone, while a page with status 200 is in the place of its registry', async () => {
  await pullImage(berth, name, image, 'v1')
  upstream.on('/v2/', page)
  const stale = await ask('manifests/v1')
  assert.deepEqual([stale.status, stale.headers['x-cache']], [200, 'stale'])
  assert.match(String(stale.headers['warning']), /answered 200, but not as a registry does/)
})

test('a manifest or list that a proxy compresses is an error that names the encoding, in /readyz as well', async () => {
  upstream.on('GET /v2/', ({ path, reply }) => {
    const body = path.includes('tags/list') ? '{"tags":[]}' : image.bytes
    reply(200, { 'content-type': image.mediaType, 'content-encoding': 'gzip' }, gzipSync(body))
  })
  const message = /answered with Content-Encoding: gzip, which Berth does not accept; a proxy/
  for (const path of ['manifests/v1', `manifests/${image.digest}`, 'tags/list'])
    assertSays(await ask(path), 502, message)
  assert.match(await readiness(), message)
})

const layers: readonly (readonly [string, Readonly<Record<string, string>>, RegExp])[] = [
  ['that a proxy compresses', { 'content-encoding': 'gzip' }, /with Content-Encoding: gzip/],
  ['that is a page', { 'content-type': 'text/html; charset=utf-8' }, /as text\/html/],
]
for (const [what, headers, message] of layers)
  test(`a layer ${what} is an error that says so`, async () => {
    const [layer] = image.blobs
    assert.ok(layer)
    upstream.on('GET /v2/p/r/blobs/', ({ reply }) => reply(200, headers, gzipSync(layer.bytes)))
    const told = new RegExp(`bytes are not those of ${layer.digest}: they were sent `)
    const failed = await ask(`blobs/${layer.digest}`)
    assertSays(failed, 502, told)
    assertSays(failed, 502, message)
  })

test('a layer whose headers are odd and whose bytes are right is pulled', async () => {
  const odd = { 'content-encoding': 'gzip', 'content-type': 'text/html' }
  upstream.on('GET /v2/p/r/blobs/', ({ path, reply }) => {
    reply(200, odd, image.blobs.find(({ digest }) => path.endsWith(digest))?.bytes)
  })
  await pullImage(berth, name, image, 'v1')
})

test('a whole layer as 206, though no range was requested, is pulled', async () => {
  upstream.on('GET /v2/p/r/blobs/', ({ path, reply }) => {
    const bytes = image.blobs.find(({ digest }) => path.endsWith(digest))?.bytes ?? Buffer.alloc(0)
    reply(206, { 'content-range': `bytes 0-${bytes.length - 1}/${bytes.length}` }, bytes)
  })
  await pullImage(berth, name, image, 'v1')
})

for (const [status, reason] of [
  [402, 'the subscription of the organization has expired'],
  [410, 'this repository has moved'],
  [451, 'removed on request'],
] as const)
  test(`a ${status} is an error in the upstream’s words, in /readyz as well, until it is gone`, async () => {
    upstream.on('/v2/', ({ reply }) => {
      reply(status, {}, `{"errors":[{"code":"DENIED","message":"${reason}"}]}`)
    })
    const message = new RegExp(`answered ${status}: ${reason}`)
    for (const path of ['manifests/v1', `blobs/${image.blobs[0]?.digest}`, 'tags/list'])
      assertSays(await ask(path), 502, message)
    assert.match(await readiness(), message)
    upstream.behave()
    await until('the image is pulled', () => pullImage(berth, name, image, 'v1'))
    assert.doesNotMatch(await readiness(), message)
  })
