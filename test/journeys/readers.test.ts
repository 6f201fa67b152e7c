import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../support/berth.ts'
import { codeOf, get } from '../support/client.ts'
import { openFiles } from '../support/content.ts'
import { type Blob, blobOf, makeImage, randomBlob } from '../support/images.ts'
import { connectRaw, type RawConnection } from '../support/raw.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const upstream = await useUpstream()
const berth = useBerth({
  config: { upstreams: [{ url: upstream.url }] },
  check: () => eventually('no blob is held open', async () => (await heldOpen()).length === 0),
})
const big = randomBlob(40_000_000)
upstream.put('p/r/i', 'v1', makeImage({ layers: [big] }))

/** Blobs that somebody still reads. */
async function heldOpen(): Promise<readonly string[]> {
  return (await openFiles(berth.cache)).filter((path) => path.endsWith('/data'))
}

const pathOf = ({ digest }: Blob) => `/v2/p/r/i/blobs/${digest}`
const urlOf = (blob: Blob) => berth.url + pathOf(blob)

/** A client that has asked for a blob and takes nothing of it yet. */
async function askAndWait(blob: Blob, ...headers: readonly string[]): Promise<RawConnection> {
  const client = await connectRaw(berth.url, { paused: true })
  client.ask(`GET ${pathOf(blob)} HTTP/1.1`, 'Host: x', ...headers)
  return client
}

test('a client that disconnects does not affect another one (INV 9)', async () => {
  await get(urlOf(big))
  const [leaving, staying] = [await askAndWait(big), await askAndWait(big)]
  await eventually('both read', async () => (await berth.metric('berth_http_in_flight')) === 2)
  leaving.reset()
  await eventually('one has left', async () => (await berth.metric('berth_http_in_flight')) === 1)
  staying.resume()
  assert.ok((await staying.reply()).body.equals(big.bytes))
  staying.socket.destroy()
})

test('a client that disconnects is recorded in its log line only', async () => {
  await get(urlOf(big))
  const leaving = await askAndWait(big, 'User-Agent: leaver/1')
  leaving.resume()
  await eventually('it reads', () => leaving.rest().length > 0)
  leaving.pause()
  leaving.reset()
  const lines = () => berth.logs().filter(({ agent }) => agent === 'leaver/1')
  await eventually('its line', () => lines().length === 1)
  const [line] = lines()
  assert.equal(line?.['status'], 200)
  assert.equal(line?.['cut'], true)
  assert.equal(line?.['remote'], '127.0.0.1')
  assert.ok(Number(line?.['bytes']) < big.bytes.length)
  assert.deepEqual(
    berth.logs().filter(({ level }) => level !== 'info'),
    [],
  )
  assert.equal(await berth.metric('berth_http_short_responses_total'), 0)
})

test('a client that disconnects before a response is logged with 499', async () => {
  const answer = Promise.withResolvers<void>()
  upstream.on('GET /v2/p/r/i/manifests/v1', async ({ reply }) => {
    await answer.promise
    reply(404)
  })
  const leaving = await connectRaw(berth.url)
  leaving.ask('GET /v2/p/r/i/manifests/v1 HTTP/1.1', 'Host: x')
  await eventually('the upstream is asked', () => upstream.count('manifests/v1') === 1)
  leaving.reset()
  const lines = () => berth.logs().filter(({ msg }) => msg === 'request')
  await eventually('its line', () => lines().length === 1)
  assert.equal(lines()[0]?.['status'], 499)
  answer.resolve()
})

test('pipelined requests of a client that disconnects hold no resources (L91)', async () => {
  await get(urlOf(big))
  const client = await connectRaw(berth.url, { paused: true })
  for (let at = 0; at < 5; at += 1) client.ask(`GET ${pathOf(big)} HTTP/1.1`, 'Host: x')
  await eventually('all are read', async () => (await berth.metric('berth_http_in_flight')) === 5)
  client.reset()
})

test('a thousand clients that read nothing do not affect probes and other pulls (L91)', async () => {
  await get(urlOf(big))
  const small = blobOf(Buffer.from('small'))
  upstream.putBlob('p/r/i', small)
  const readers: RawConnection[] = []
  for (let at = 0; at < 1000; at += 50) {
    const some = Array.from({ length: 50 }, () => askAndWait(big))
    readers.push(...(await Promise.all(some)))
  }
  await eventually('all read', async () => (await berth.metric('berth_http_in_flight')) === 1000)
  const began = performance.now()
  for (let at = 0; at < 10; at += 1) {
    const ready = await get(`${berth.admin}/readyz`)
    assert.equal(ready.status, 200)
    assert.deepEqual((await get(urlOf(small))).body, small.bytes)
  }
  // A quarter of a second is what the cases ask of one; a loaded machine gets ten times that.
  assert.ok(performance.now() - began < 10 * 2500)
  assert.equal((await heldOpen()).length, 1, 'they share one open file')
  for (const reader of readers) reader.reset()
})

test('a connection can be used after a blob', async () => {
  const client = await connectRaw(berth.url)
  for (let at = 0; at < 3; at += 1) {
    client.ask(`GET ${pathOf(big)} HTTP/1.1`, 'Host: x')
    assert.ok((await client.reply()).body.equals(big.bytes))
    client.ask('GET /v2/ HTTP/1.1', 'Host: x')
    assert.equal((await client.reply()).body.toString(), '{}')
  }
  client.socket.destroy()
})

test('a request with a body gets its blob, and the body is not the next request', async () => {
  const client = await connectRaw(berth.url)
  const body = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
  client.ask(`GET ${pathOf(big)} HTTP/1.1`, 'Host: x', `Content-Length: ${body.length}`)
  client.send(body)
  assert.ok((await client.reply()).body.equals(big.bytes))
  client.ask('GET /v2/ HTTP/1.1', 'Host: x')
  assert.equal((await client.reply()).status, 200)
  client.socket.destroy()
})

test('one range of bytes is answered as RFC 9110 says (P11, P13)', async () => {
  const blob = randomBlob(2048)
  upstream.putBlob('p/r/i', blob)
  const ranges: readonly (readonly [range: string, status: number, content?: string])[] = [
    ['bytes=500-1499', 206, 'bytes 500-1499/2048'],
    ['bytes=500-', 206, 'bytes 500-2047/2048'],
    ['bytes=-500', 206, 'bytes 1548-2047/2048'],
    ['bytes=-5000', 206, 'bytes 0-2047/2048'],
    ['bytes=2000-5000', 206, 'bytes 2000-2047/2048'],
    ['bytes=0-0', 206, 'bytes 0-0/2048'],
    ['bytes=2047-99999999999999999999999', 206, 'bytes 2047-2047/2048'],
    ['Bytes=1-2', 206, 'bytes 1-2/2048'],
    ['bytes=500-0', 416, 'bytes */2048'],
    ['bytes=2048-', 416, 'bytes */2048'],
    ['bytes=5000-10000', 416, 'bytes */2048'],
    ['bytes=-0', 416, 'bytes */2048'],
    ['bytes=a-b', 200],
    ['bytes=-', 200],
    ['bytes', 200],
    ['lines=1-2', 200],
  ]
  for (const [range, status, contentRange] of ranges) {
    const reply = await get(urlOf(blob), { headers: { range } })
    assert.equal(reply.status, status, range)
    assert.equal(reply.headers['content-range'], contentRange, range)
    assert.equal(reply.headers['content-length'], String(reply.body.length), range)
    if (status === 416) assert.equal(codeOf(reply), 'SIZE_INVALID')
    if (status === 200) assert.deepEqual(reply.body, blob.bytes)
    const [first = 0, last = 0] = (contentRange?.match(/\d+/g) ?? []).map(Number)
    if (status === 206) assert.deepEqual(reply.body, blob.bytes.subarray(first, last + 1))
  }
})

test('a range with another ETag in If-Range gets the whole blob (RFC 9110, "If-Range")', async () => {
  const blob = randomBlob(100)
  upstream.putBlob('p/r/i', blob)
  const ask = (condition: string) =>
    get(urlOf(blob), { headers: { range: 'bytes=50-', 'if-range': condition } })
  assert.equal((await ask(`"${blob.digest}"`)).status, 206)
  assert.equal((await ask('"another"')).status, 200)
})

test('an error has no Cache-Control of a blob', async () => {
  const [broken, small] = [randomBlob(200_000), randomBlob(10)]
  upstream.putBlob('p/r/i', small)
  upstream.on(`GET ${pathOf(broken)}`, ({ reply }) => reply(200, {}, randomBlob(10).bytes))
  const failed = await get(urlOf(broken))
  const beyond = await get(urlOf(small), { headers: { range: 'bytes=10-' } })
  assert.equal(failed.status, 502)
  assert.equal(beyond.status, 416)
  for (const { headers } of [failed, beyond]) {
    assert.equal(headers['content-type'], 'application/json')
    for (const name of ['cache-control', 'etag', 'docker-content-digest'])
      assert.equal(headers[name], undefined, name)
  }
})
