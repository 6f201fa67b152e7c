import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { get } from '../support/client.ts'
import { blobOf } from '../support/images.ts'
import { until } from '../support/until.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const mebibyte = 1024 * 1024
const everything = { users: ['*'], repositories: ['**'], actions: ['pull', 'push'] }
const upstream = await useUpstream()
const berth = useBerth()

const start = (memory: string) =>
  berth.start({
    config: {
      upstreams: [{ url: upstream.url }],
      auth: { anonymous: 'rules', access: [everything] },
      limits: { memory },
    },
  })

/** An index of so many images: 20,000 are nearly 4 MiB. */
function indexOf(images: number): Buffer {
  const manifests = Array.from({ length: images }, (_, at) => ({
    mediaType: mediaTypes.ociManifest,
    digest: digestOf(Buffer.from(String(at))),
    size: 500 + at,
    platform: { os: 'linux', architecture: 'amd64' },
  }))
  return Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }),
  )
}

/** Without a body yet. */
function begin(name: string, length: number): ClientRequest {
  const headers = { 'content-type': mediaTypes.ociIndex, 'content-length': length }
  const url = `${berth.url}/v2/local/${name}/manifests/v1`
  return request(url, { method: 'PUT', headers, agent: false }).on('error', () => {})
}

async function end(push: ClientRequest, bytes: Buffer): Promise<number | undefined> {
  const answered = once(push, 'response') as Promise<[IncomingMessage]>
  push.end(bytes)
  const [response] = await answered
  assert.equal(response.headers['retry-after'] !== undefined, response.statusCode === 503)
  await text(response)
  return response.statusCode
}

test('a push of a large index reserves what its thousands of descriptors take; further ones are told to retry', async () => {
  await start('256MiB')
  const large = indexOf(20_000)
  const small = indexOf(10)
  const reserved = () => berth.metric('berth_memory_bytes{use="in_flight"}')
  const first = begin('first', large.length)
  first.flushHeaders()
  await until('the first push is waited for', async () =>
    assert.ok((await reserved()) > 5 * large.length),
  )
  assert.equal(await end(begin('second', large.length), large), 503)
  assert.equal(await end(begin('small', small.length), small), 201)
  assert.equal(await end(first, large), 201)
  await until('nothing is reserved', async () => assert.ok((await reserved()) < mebibyte))
  assert.equal(await end(begin('second', large.length), large), 201)
})

test('an index of nearly 4 MiB is pushed, and pulled from an upstream, where there is least memory', async () => {
  await start('128MiB')
  const large = indexOf(20_000)
  assert.ok(large.length > 3.8 * mebibyte && large.length < 4 * mebibyte)
  assert.equal(await end(begin('large', large.length), large), 201)
  const { digest } = blobOf(large)
  upstream.on(`/v2/p/r/manifests/${digest}`, ({ reply }) =>
    reply(200, { 'content-type': mediaTypes.ociIndex }, large),
  )
  for (const name of ['local/large', 'p/r']) {
    const reply = await get(`${berth.url}/v2/${name}/manifests/${digest}`)
    assert.equal(reply.status, 200, reply.body.toString('utf8', 0, 300))
    assert.ok(reply.body.equals(large))
  }
})
