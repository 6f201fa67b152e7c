import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { afterEach, suite, test } from 'node:test'
import { createApi, type Listeners, listen, openSend } from '../../src/http/http.ts'
import { createReservations } from '../../src/memory/reservations.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { eventually } from '../support/berth.ts'
import { createMemoryRepository, openAuth } from '../support/memory-repository.ts'
import { connectRaw, type RawConnection } from '../support/raw.ts'
import { watchedTelemetry } from '../support/telemetry.ts'

const started: Listeners[] = []
afterEach(async () => {
  await Promise.all(started.splice(0).map((listeners) => listeners.close(0)))
})

type Options = {
  readonly readOnly?: string
  readonly memory?: number
  readonly paces?: Parameters<typeof createApi>[0]['paces']
  readonly timeouts?: Parameters<typeof listen>[0]['timeouts']
}

async function start({ readOnly, memory = 64 * 1024 * 1024, paces, timeouts }: Options = {}) {
  const repository = createMemoryRepository(readOnly)
  const { telemetry, metric, logs } = watchedTelemetry()
  const reservations = createReservations(memory)
  const handler = await createApi({
    registry: repository.registry,
    auth: openAuth,
    hosts: [],
    telemetry,
    send: openSend(false),
    memory: reservations,
    answerTime: 20_000,
    ...(paces && { paces }),
  })
  const listeners = await listen({
    hosts: ['127.0.0.1'],
    port: 0,
    handler,
    maxConnections: 100,
    memory: reservations,
    ...(timeouts && { timeouts }),
  })
  started.push(listeners)
  const url = `http://127.0.0.1:${listeners.addresses[0]?.port}`
  const ask = (method: string, path: string, init: RequestInit = {}) =>
    fetch(new URL(path, url), { method, redirect: 'manual', ...init })
  const begin = async () => {
    const { status, headers } = await ask('POST', '/v2/app/blobs/uploads/')
    assert.equal(status, 202)
    return headers.get('location') ?? ''
  }
  return { repository, url, ask, begin, metric, logs, reservations }
}

const blob = randomBytes(300_000)
const digest = digestOf(blob)

async function errorOf(response: Response): Promise<{ code: string; message: string }> {
  const { errors } = (await response.json()) as { errors: { code: string; message: string }[] }
  return errors[0] ?? { code: '', message: '' }
}

/** The head of a request, without its body. */
function head(connection: RawConnection, line: string, ...headers: readonly string[]): void {
  connection.ask(`${line} HTTP/1.1`, 'Host: localhost', ...headers)
}

suite('an upload', () => {
  test('in one request, in two, in chunks and as a stream ends with 201 and a path (H114, H115)', async () => {
    const { repository, ask, begin } = await start()
    const location = `/v2/app/blobs/${digest}`
    const stored = (response: Response) => {
      assert.equal(response.status, 201)
      assert.equal(response.headers.get('location'), location)
      assert.equal(response.headers.get('docker-content-digest'), digest)
      assert.deepEqual(repository.blobs.get(digest), blob)
      repository.blobs.clear()
    }
    stored(await ask('POST', `/v2/app/blobs/uploads/?digest=${digest}`, { body: blob }))
    stored(await ask('PUT', `${await begin()}?digest=${digest}`, { body: blob }))

    const chunked = await begin()
    for (const [first, end] of [
      [0, 100_000],
      [100_000, 250_000],
    ] as const) {
      const headers = { 'content-range': `${first}-${end - 1}` }
      const reply = await ask('PATCH', chunked, { body: blob.subarray(first, end), headers })
      assert.equal(reply.status, 202)
      assert.equal(reply.headers.get('range'), `0-${end - 1}`)
      assert.equal(reply.headers.get('location'), chunked)
      assert.equal(reply.headers.get('docker-upload-uuid'), chunked.split('/').at(-1))
    }
    const last = { body: blob.subarray(250_000), headers: { 'content-range': '250000-299999' } }
    stored(await ask('PUT', `${chunked}?digest=${digest}`, last))

    const streamed = await begin()
    const body = new Blob([blob]).stream()
    assert.equal((await ask('PATCH', streamed, { body, duplex: 'half' })).status, 202)
    stored(await ask('PUT', `${streamed}?digest=${digest}`))
  })

  test('says where it is, can be canceled, and belongs to nobody else (H120)', async () => {
    const { ask, begin } = await start()
    const session = await begin()
    const status = await ask('GET', session)
    assert.equal(status.status, 204)
    assert.equal(status.headers.get('range'), '0-0')
    assert.equal(status.headers.get('location'), session)
    assert.equal((await ask('DELETE', session)).status, 204)
    for (const [method, path] of [
      ['GET', session],
      ['PATCH', session],
      ['PUT', `${session}?digest=${digest}`],
      ['GET', '/v2/app/blobs/uploads/..%2f..'],
      ['GET', '/v2/app/blobs/uploads/00000000-0000-4000-8000-000000000000'],
    ] as const)
      assert.equal((await ask(method, path)).status, 404, `${method} ${path}`)
  })

  test('survives a chunk at the wrong place, of the wrong length or without a right range (H116)', async () => {
    const { ask, begin } = await start()
    const session = await begin()
    const send = (range: string, body = 'four', method = 'PATCH', query = '') =>
      ask(method, `${session}${query}`, { body, headers: { 'content-range': range } })
    assert.equal((await send('0-3')).status, 202)
    for (const range of ['0-3', '2-5', '8-11', '4-8', '4-6', 'bytes', '7-4', ''])
      assert.equal((await send(range)).status, 416, range)
    const put = await send('20-23', 'four', 'PUT', `?digest=${digestOf(Buffer.from('fourfour'))}`)
    assert.equal(put.status, 416)
    const status = await ask('GET', session)
    assert.equal(status.status, 204)
    assert.equal(status.headers.get('range'), '0-3')
    assert.equal(status.headers.get('location'), session)
  })

  test('with a digest that is no digest, or another one, is 400 (H118)', async () => {
    const { ask, begin, repository } = await start()
    for (const wrong of [
      '',
      'sha256:baddigest',
      `md5:${'0'.repeat(32)}`,
      digestOf(Buffer.from('x')),
    ]) {
      const reply = await ask('PUT', `${await begin()}?digest=${wrong}`, { body: 'four' })
      assert.equal(reply.status, 400)
      assert.equal((await errorOf(reply)).code, 'DIGEST_INVALID')
    }
    const single = `/v2/app/blobs/uploads/?digest=${digestOf(Buffer.from('y'))}`
    const before = repository.sessions().length
    assert.equal((await ask('POST', single, { body: 'four' })).status, 400)
    assert.equal(repository.sessions().length, before, 'no session is left that nobody knows')
    const algorithm = await ask('POST', '/v2/app/blobs/uploads/?digest-algorithm=md5')
    assert.equal(algorithm.status, 400)
    assert.equal((await ask('POST', '/v2/app/blobs/uploads/?digest-algorithm=sha512')).status, 202)
  })

  test('is not needed where the blob can be mounted (H135)', async () => {
    const { ask, repository } = await start()
    repository.blobs.set(digest, blob)
    const mount = (query: string) => ask('POST', `/v2/app/blobs/uploads/?mount=${digest}${query}`)
    const mounted = await mount('&from=other/app')
    assert.equal(mounted.status, 201)
    assert.equal(mounted.headers.get('location'), `/v2/app/blobs/${digest}`)
    assert.equal((await mount('')).status, 201)
    assert.equal((await mount('&from=private/app')).status, 202, 'no right to pull there')
    assert.equal((await mount('&from=Not%20a%20name')).status, 202)
    repository.blobs.clear()
    assert.equal((await mount('&from=other/app')).status, 202, 'there is none')
  })

  test('goes on after the client has gone away in the middle of a chunk', async () => {
    const { begin, url, ask, repository } = await start()
    const session = await begin()
    const client = await connectRaw(url)
    head(client, `PATCH ${session}`, 'Content-Length: 300000')
    client.send(blob.subarray(0, 123_456))
    await eventually(
      'what was sent has arrived',
      () => repository.sessions()[0]?.length === 123_456,
    )
    client.reset()
    await eventually('the next request may write', async () => {
      const { headers } = await ask('GET', session)
      const headersOfPut = { 'content-range': '123456-299999' }
      const body = blob.subarray(123_456)
      if (headers.get('range') !== '0-123455') return false
      const query = `?digest=${digest}`
      return (
        (await ask('PUT', `${session}${query}`, { body, headers: headersOfPut })).status === 201
      )
    })
    assert.deepEqual(repository.blobs.get(digest), blob)
  })

  test('is received as fast as it is stored, and no faster', async () => {
    const { begin, url, repository, reservations, metric } = await start()
    const session = await begin()
    const release = repository.hold()
    const client = await connectRaw(url)
    const size = 32 * 1024 * 1024
    head(client, `PATCH ${session}`, `Content-Length: ${size}`)
    client.send(Buffer.alloc(size))
    await eventually(
      'reading has begun',
      async () => (await metric('berth_upload_bytes_total')) > 0,
    )
    let waiting = -1
    await eventually('the client has to wait', () => {
      const before = waiting
      waiting = client.socket.bytesWritten - client.socket.writableLength
      return before === waiting
    })
    assert.ok(client.socket.writableLength > 8 * 1024 * 1024, 'most of it is still with the client')
    assert.ok((await metric('berth_upload_bytes_total')) <= 512 * 1024)
    assert.ok(reservations.used() > 0)
    release()
    assert.equal((await client.reply()).status, 202)
    await eventually('the memory is released', () => reservations.used() === 0)
    assert.equal(repository.sessions()[0]?.length, size)
    client.socket.destroy()
  })

  test('gets 503 when there is no memory for it, and succeeds later', async () => {
    const { begin, ask, reservations } = await start({ memory: 1024 * 1024 })
    const session = await begin()
    const release = reservations.reserve(800 * 1024)
    const refused = await ask('PATCH', session, { body: blob })
    assert.equal(refused.status, 503)
    assert.equal(refused.headers.get('retry-after'), '1')
    release?.()
    assert.equal((await ask('PATCH', session, { body: blob })).status, 202)
  })

  test('has its bytes and its failures in the metrics and in the log', async () => {
    const { begin, ask, metric, logs } = await start()
    await ask('PUT', `${await begin()}?digest=${digest}`, { body: blob })
    await ask('PUT', `${await begin()}?digest=${digest}`, { body: 'other' })
    await ask('DELETE', await begin())
    assert.equal(await metric('berth_upload_bytes_total'), blob.length + 5)
    for (const outcome of ['stored', 'failed', 'canceled'])
      assert.equal(await metric(`berth_uploads_total{outcome="${outcome}"}`), 1, outcome)
    assert.equal(await metric('berth_uploads_in_flight'), 0)
    const puts = () => logs().filter(({ method }) => method === 'PUT')
    await eventually('both are logged', () => puts().length === 2)
    assert.deepEqual(
      puts().map(({ received }) => received),
      [blob.length, 5],
    )
    assert.match(String(puts()[1]?.['reason']), /digest/)
  })
})

suite('a request body', () => {
  test('is asked for by 100 only after access and session are checked', async () => {
    const { begin, url, repository } = await start()
    const session = await begin()
    const length = `Content-Length: ${blob.length}`
    const expectations = [
      ['POST /v2/forbidden/app/blobs/uploads/', 403],
      ['PATCH /v2/app/blobs/uploads/00000000-0000-4000-8000-000000000000', 404],
      ['PUT /v2/app/manifests/v1', 413],
    ] as const
    for (const [line, status] of expectations) {
      const client = await connectRaw(url)
      const announced = status === 413 ? 'Content-Length: 4194305' : length
      head(client, line, announced, 'Expect: 100-continue')
      const reply = await client.reply()
      assert.equal(reply.status, status, line)
      assert.equal(reply.headers['connection'], 'close')
      await client.closed
    }
    const client = await connectRaw(url)
    head(client, `PUT ${session}?digest=${digest}`, length, 'Expect: 100-continue')
    await eventually('100 Continue', () => client.rest().includes('HTTP/1.1 100 Continue\r\n\r\n'))
    client.send(blob)
    await eventually('201', () => client.rest().includes('HTTP/1.1 201 Created'))
    assert.deepEqual(repository.blobs.get(digest), blob)
    assert.doesNotMatch(client.rest().toString('latin1'), /connection: close/i)
    client.socket.destroy()
  })

  test('of HTTP/1.0 gets no 100, whatever it expects, and a connection that closes', async () => {
    const { url, repository } = await start()
    const client = await connectRaw(url)
    const line = `POST /v2/app/blobs/uploads/?digest=${digest} HTTP/1.0`
    client.ask(line, `Content-Length: ${blob.length}`, 'Expect: 100-continue')
    client.send(blob)
    const reply = await client.reply()
    assert.equal(reply.status, 201)
    assert.equal(reply.headers['connection'], 'close')
    assert.deepEqual(repository.blobs.get(digest), blob)
    await client.closed
  })

  test('that is not wanted does not hide the response from a client that still sends', async () => {
    const { url } = await start()
    for (const size of [3_000_000, 12_000_000]) {
      const client = await connectRaw(url)
      head(client, 'POST /v2/forbidden/app/blobs/uploads/', `Content-Length: ${size}`)
      client.send(Buffer.alloc(size))
      assert.equal((await client.reply()).status, 403)
      head(client, 'GET /v2/')
      assert.equal((await client.reply()).status, 200, 'the connection is used further')
      client.socket.destroy()
    }
  })

  test('that is not wanted and never ends closes the connection', async () => {
    const { url } = await start()
    const client = await connectRaw(url)
    head(client, 'POST /v2/forbidden/app/blobs/uploads/', 'Content-Length: 1000000000')
    assert.equal((await client.reply()).status, 403)
    const send = () => client.socket.write(Buffer.alloc(1024 * 1024), (error) => error ?? send())
    send()
    await client.closed
  })

  test('that arrives too slowly is 408, and does not hold a session (X178)', async () => {
    const slow = { bytes: 1000, time: 200 }
    const { begin, url, ask } = await start({ paces: { upload: slow, whole: slow } })
    const session = await begin()
    for (const line of [`PATCH ${session}`, 'PUT /v2/app/manifests/v1']) {
      const client = await connectRaw(url)
      head(client, line, 'Content-Length: 1000000')
      client.send(Buffer.alloc(500))
      assert.equal((await client.reply()).status, 408, line)
      client.socket.destroy()
    }
    assert.equal((await ask('PATCH', session, { body: 'more' })).status, 202)
  })

  test('may take longer than any timeout while it makes progress', async () => {
    const { begin, url, repository } = await start({
      timeouts: { headers: 100, request: 100, idle: 100 },
      paces: {
        upload: { bytes: 1000, time: 5000 },
        whole: { bytes: 1000, time: 5000 },
      },
    })
    const session = await begin()
    const release = repository.hold()
    const client = await connectRaw(url)
    head(client, `PUT ${session}?digest=${digest}`, `Content-Length: ${blob.length}`)
    const began = performance.now()
    for (let at = 0; at < blob.length; at += 60_000) {
      client.send(blob.subarray(at, at + 60_000))
      await new Promise((resolve) => setTimeout(resolve, 150))
    }
    release()
    assert.equal((await client.reply()).status, 201)
    assert.ok(performance.now() - began > 500)
    client.socket.destroy()
  })

  test('that breaks its framing closes the connection and keeps what arrived', async () => {
    const { begin, url, ask, repository } = await start()
    const session = await begin()
    const client = await connectRaw(url)
    head(client, `PATCH ${session}`, 'Transfer-Encoding: chunked')
    client.send('4\r\nfour\r\n')
    await eventually('it has arrived', () => repository.sessions()[0]?.length === 4)
    client.send('not a length\r\n')
    await client.closed
    await eventually('the session is free', async () => {
      const reply = await ask('PATCH', session, {
        body: 'more',
        headers: { 'content-range': '4-7' },
      })
      return reply.status === 202
    })
  })
})

suite('a manifest', () => {
  const manifest = Buffer.from('{"schemaVersion":2}')
  const type = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }

  test('is put by tag, by digest and with several tags, and is deleted (P10)', async () => {
    const { ask, repository } = await start()
    const put = (reference: string, body: Buffer | string = manifest) =>
      ask('PUT', `/v2/app/manifests/${reference}`, { body, headers: type })
    const byTag = await put('v1')
    const location = `/v2/app/manifests/${digestOf(manifest)}`
    assert.equal(byTag.status, 201)
    assert.equal(byTag.headers.get('location'), location)
    assert.equal(byTag.headers.get('docker-content-digest'), digestOf(manifest))
    assert.equal(byTag.headers.get('oci-tag'), null)
    const tags = Array.from({ length: 12 }, (_, at) => `t${at}`)
    const query = (names: readonly string[]) => `?${names.map((tag) => `tag=${tag}`).join('&')}`
    const byDigest = await put(`${digestOf(manifest)}${query(tags)}`)
    assert.equal(byDigest.status, 201)
    assert.equal(byDigest.headers.get('oci-tag'), tags.join(', '))
    assert.deepEqual([...repository.tags.keys()], ['v1', ...tags])
    const tooMany = Array.from({ length: 31 }, (_, at) => `t${at}`)
    assert.equal((await put(`${digestOf(manifest)}${query(tooMany)}`)).status, 414)
    assert.equal((await put(`${digestOf(manifest)}?tag=${'x'.repeat(9000)}`)).status, 414)
    assert.equal((await put(`${digestOf(manifest)}?tag=-wrong`)).status, 400)

    assert.equal((await put('large', Buffer.alloc(4 * 1024 * 1024, ' '))).status, 201)
    const tooLarge = await put('large', Buffer.alloc(4 * 1024 * 1024 + 1, ' '))
    assert.equal(tooLarge.status, 413)
    assert.equal((await errorOf(tooLarge)).code, 'SIZE_INVALID')
    const body = new Blob([Buffer.alloc(5_000_000)]).stream()
    const streamed = await ask('PUT', '/v2/app/manifests/v1', { body, duplex: 'half' })
    assert.equal(streamed.status, 413)

    const part = { body: manifest, headers: { ...type, 'content-range': 'bytes 0-1/900' } }
    const inPart = await ask('PUT', '/v2/app/manifests/part', part)
    assert.equal(inPart.status, 400)
    assert.equal((await errorOf(inPart)).code, 'MANIFEST_INVALID')

    for (const reference of ['v1', digestOf(manifest)]) {
      assert.equal((await ask('DELETE', `/v2/app/manifests/${reference}`)).status, 202)
      assert.equal((await ask('DELETE', `/v2/app/manifests/${reference}`)).status, 404)
    }
    repository.blobs.set(digest, blob)
    assert.equal((await ask('DELETE', `/v2/app/blobs/${digest}`)).status, 202)
    assert.equal((await ask('DELETE', `/v2/app/blobs/${digest}`)).status, 404)
  })
})

suite('writing', () => {
  const writes: readonly (readonly [string, string])[] = [
    ['POST', 'blobs/uploads/'],
    ['PUT', 'manifests/v1'],
    ['DELETE', 'manifests/v1'],
    ['DELETE', `blobs/${digest}`],
    ['PATCH', 'blobs/uploads/00000000-0000-4000-8000-000000000000'],
  ]

  test('to a repository that can only be read is 405 with the reason (H129)', async () => {
    const { ask } = await start({ readOnly: 'the registry is in read-only mode' })
    for (const [method, path] of writes) {
      const reply = await ask(method, `/v2/app/${path}`)
      assert.equal(reply.status, 405, path)
      assert.equal(reply.headers.get('allow'), 'GET, HEAD')
      const error = await errorOf(reply)
      assert.equal(error.code, 'UNSUPPORTED')
      assert.match(error.message, /(push to|delete from) app: the registry is in read-only mode/)
    }
  })

  test('without the right to is 403', async () => {
    const { ask } = await start()
    for (const [method, path] of writes)
      assert.equal((await ask(method, `/v2/forbidden/app/${path}`)).status, 403, path)
  })

  test('by a web page of another origin is 403', async () => {
    const { url } = await start()
    for (const header of [
      'Origin: https://evil.example',
      'Origin: null',
      'Sec-Fetch-Site: cross-site',
    ]) {
      const client = await connectRaw(url)
      head(client, 'POST /v2/app/blobs/uploads/', header, 'Content-Length: 0')
      assert.equal((await client.reply()).status, 403, header)
      client.socket.destroy()
    }
    const own = await connectRaw(url)
    head(own, 'POST /v2/app/blobs/uploads/', 'Origin: http://localhost', 'Content-Length: 0')
    assert.equal((await own.reply()).status, 202)
    own.socket.destroy()
  })

  test('gets locations that no header of the client changes (X177)', async () => {
    const { url, repository } = await start()
    repository.blobs.set(digest as Digest, blob)
    const poison = [
      'X-Forwarded-Host: evil.example',
      'X-Forwarded-Proto: https',
      'Forwarded: host=e',
    ]
    for (const line of [
      'POST /v2/app/blobs/uploads/',
      `POST /v2/app/blobs/uploads/?mount=${digest}`,
    ]) {
      const client = await connectRaw(url)
      client.ask(`${line} HTTP/1.1`, 'Host: evil', ...poison, 'Content-Length: 0')
      const { headers } = await client.reply()
      assert.match(headers['location'] ?? '', /^\/v2\/app\/blobs\//)
      client.socket.destroy()
    }
  })
})
