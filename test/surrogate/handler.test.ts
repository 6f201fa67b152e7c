import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createCredentials } from '../../src/credentials/credentials.ts'
import { createMemory } from '../../src/memory/memory.ts'
import { createOutbound } from '../../src/outbound/outbound.ts'
import { createForwarder, createTransport } from '../../src/remote/remote.ts'
import { createHandler } from '../../src/surrogate/surrogate.ts'
import { watchedTelemetry } from '../support/telemetry.ts'
import { until } from '../support/until.ts'
import { sendJson, startWebServer, type WebServer } from '../support/web-server.ts'

const password = 'surrogate-canary-55e1'
const basic = `Basic ${Buffer.from(`me:${password}`).toString('base64')}`
const timeouts = { connect: 5000, firstByte: 60_000, idle: 60_000, minimumRate: 1 }

/** A surrogate in front of a registry, with a login. */
async function startSurrogate(t: TestContext, url: string, redirects: readonly string[] = []) {
  const { telemetry, logs } = watchedTelemetry()
  const memory = createMemory(256 * 1024 * 1024)
  const outbound = createOutbound()
  const { host, hostname } = new URL(url)
  const login = { type: 'static', username: 'me', password } as const
  const forwarder = createForwarder({
    ...{
      upstream: host,
      url,
      tokenRealms: [],
      redirects,
      caches: memory.caches,
      metrics: telemetry.metrics,
    },
    credentials: createCredentials(login, { host, outbound, upstream: host, telemetry }),
    transport: createTransport({ timeouts, outbound, host: hostname, userAgent: 'berth' }),
  })
  const server = createServer(
    createHandler({ forwarder: () => forwarder, memory: memory.inFlight, log: telemetry.log }),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    server.closeAllConnections()
    server.close()
    await forwarder.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, logs }
}

/** A registry with basic authentication, that answers as `answer` says once it is logged in. */
async function startRegistry(
  t: TestContext,
  answer: Parameters<typeof startWebServer>[0],
): Promise<WebServer> {
  const registry = await startWebServer((seen, response) => {
    if (seen.headers['authorization'] === basic) return answer(seen, response)
    response.setHeader('www-authenticate', 'Basic realm="registry"')
    sendJson(response, { errors: [{ code: 'UNAUTHORIZED', message: 'who are you' }] }, 401)
  })
  t.after(registry.close)
  return registry
}

test("a request gets the registry's login in place of the client's", async (t) => {
  const registry = await startRegistry(t, (_seen, response) => {
    response.setHeader('set-cookie', 'session=1')
    response.setHeader('www-authenticate', 'Basic realm="other"')
    response.setHeader('docker-content-digest', 'sha256:ab')
    sendJson(response, { tags: ['1'] })
  })
  const surrogate = await startSurrogate(t, registry.url)
  const headers = { authorization: 'Basic bWU6b3duLWNhbmFyeQ==', cookie: 'a=b', accept: 'x/y' }
  const answer = await fetch(`${surrogate.url}/v2/app/tags/list?n=3`, { headers })
  assert.deepEqual(await answer.json(), { tags: ['1'] })
  assert.equal(answer.headers.get('docker-content-digest'), 'sha256:ab')
  for (const name of ['set-cookie', 'www-authenticate'])
    assert.equal(answer.headers.get(name), null)
  const last = registry.requests.at(-1)
  assert.equal(last?.path, '/v2/app/tags/list?n=3')
  assert.equal(last?.headers['accept'], 'x/y')
  assert.equal(last?.headers['cookie'], undefined)
  for (const { headers: sent } of registry.requests)
    assert.ok(!JSON.stringify(sent).includes('b3duLWNhbmFyeQ'), "the client's login was sent")
})

test('a login that the registry denies is 403, so that no client asks its user for another one', async (t) => {
  const registry = await startWebServer((_seen, response) => {
    response.setHeader('www-authenticate', 'Basic realm="registry"')
    sendJson(response, { errors: [{ code: 'UNAUTHORIZED', message: 'wrong' }] }, 401)
  })
  t.after(registry.close)
  const surrogate = await startSurrogate(t, registry.url)
  const answer = await fetch(`${surrogate.url}/v2/app/tags/list`)
  assert.equal(answer.status, 403)
  assert.equal(answer.headers.get('www-authenticate'), null)
  const text = await answer.text()
  assert.match(text, /DENIED.*me was denied access to app/)
  assert.ok(!(text + JSON.stringify(surrogate.logs())).includes(password))
})

test('other paths of the registry are not for clients', async (t) => {
  const registry = await startRegistry(t, (_seen, response) => sendJson(response, {}))
  const surrogate = await startSurrogate(t, registry.url)
  for (const path of ['/admin', '/v2/x/../../admin', '/v3/', '/v2/app/blobs/uploads/..%2fadmin'])
    assert.ok((await fetch(surrogate.url + path)).status >= 400, path)
  assert.equal(registry.count('admin'), 0)
})

const locations: Readonly<Record<string, (registry: string) => string>> = {
  'as a path': () => '/v2/app/blobs/uploads/1?state=a',
  'as a URL': (registry) => `${registry}/v2/app/blobs/uploads/1?state=a`,
  'at its outer address': () => 'https://registry.example.com/v2/app/blobs/uploads/1?state=a',
  'outside of its API': (registry) => `${registry}/uploads/1?state=a`,
}
for (const [how, locationOf] of Object.entries(locations))
  test(`an upload that the registry continues ${how} stays on the surrogate`, async (t) => {
    const registry = await startRegistry(t, ({ method }, response) => {
      if (method === 'POST') response.setHeader('location', locationOf(registry.url))
      response.writeHead(method === 'POST' ? 202 : 201).end()
    })
    const { url } = await startSurrogate(t, registry.url)
    const opened = await fetch(`${url}/v2/app/blobs/uploads/`, { method: 'POST' })
    const location = opened.headers.get('location') ?? ''
    assert.match(location, /^\/v2\/app\/blobs\/uploads\//)
    const to = new URL(location, url)
    to.searchParams.append('digest', 'sha256:ab')
    const put = await fetch(to, { method: 'PUT', body: 'bytes' })
    assert.equal(put.status, 201)
    const last = registry.requests.at(-1)
    assert.match(last?.path ?? '', /uploads\/1\?state=a&digest=sha256(:|%3A)ab$/)
    assert.equal(last?.headers['authorization'], basic)
  })

test('an upload at another origin is refused, and no name of a session can be made up', async (t) => {
  const registry = await startRegistry(t, (_seen, response) => {
    response.writeHead(202, { location: 'https://elsewhere.example.com/upload/1' }).end()
  })
  const { url } = await startSurrogate(t, registry.url)
  const opened = await fetch(`${url}/v2/app/blobs/uploads/`, { method: 'POST' })
  assert.equal(opened.status, 502)
  assert.match(await opened.text(), /elsewhere\.example\.com, which is not its own origin/)
  const forged = `berth.${Buffer.from('/admin').toString('base64url')}.c2lnbmF0dXJl`
  const put = await fetch(`${url}/v2/app/blobs/uploads/${forged}`, { method: 'PUT', body: 'x' })
  assert.equal(put.status, 404)
  assert.equal(registry.count('admin'), 0)
})

test('pages of a list are at the surrogate', async (t) => {
  const registry = await startRegistry(t, (_seen, response) => {
    response.setHeader('link', `<${registry.url}/v2/_catalog?last=b&n=2>; rel="next"`)
    sendJson(response, { repositories: ['a', 'b'] })
  })
  const { url } = await startSurrogate(t, registry.url)
  const answer = await fetch(`${url}/v2/_catalog?n=2`)
  assert.equal(answer.headers.get('link'), '</v2/_catalog?last=b&n=2>; rel="next"')
})

test('a blob of unknown length is sent on in chunks, as fast as the registry reads', async (t) => {
  let received = 0
  let reading: IncomingMessage | undefined
  const registry = createServer((request, response) => {
    if (request.headers.authorization !== basic) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="registry"' }).end()
      return
    }
    if (request.method === 'GET') return void response.end('{}')
    reading = request
    request.on('data', (chunk: Buffer) => {
      received += chunk.length
      if (received === chunk.length) request.pause()
    })
    request.on('end', () => response.writeHead(202, { location: '/v2/a/blobs/uploads/1' }).end())
  })
  await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    registry.closeAllConnections()
    registry.close()
  })
  const { url } = await startSurrogate(
    t,
    `http://127.0.0.1:${(registry.address() as AddressInfo).port}`,
  )
  await (await fetch(`${url}/v2/`)).arrayBuffer()
  const total = 64
  let sent = 0
  async function* mebibytes() {
    for (; sent < total; sent += 1) yield randomBytes(1024 * 1024)
  }
  const patch = fetch(`${url}/v2/a/blobs/uploads/1`, {
    method: 'PATCH',
    body: ReadableStream.from(mebibytes()),
    duplex: 'half',
  })
  await until('the registry has read a part', () => assert.ok(received > 0))
  // Nothing moves any more, long before the end: buffers of sockets take a few MiB.
  await until('the client waits', async () => {
    const before = sent
    await sleep(500)
    assert.equal(sent, before)
  })
  assert.ok(sent < total / 2, `${sent} MiB are buffered`)
  reading?.resume()
  assert.equal((await patch).status, 202)
  assert.equal(received, total * 1024 * 1024)
})

test('a client that leaves ends the request to the registry', async (t) => {
  const closed = Promise.withResolvers<void>()
  const registry = await startRegistry(t, (_seen, response) => {
    response.once('close', closed.resolve)
    response.writeHead(200, { 'content-length': 1000 }).write('begin')
  })
  const { url } = await startSurrogate(t, registry.url)
  const leaving = new AbortController()
  const answer = await fetch(`${url}/v2/a/blobs/sha256:ab`, { signal: leaving.signal })
  assert.equal(answer.status, 200)
  leaving.abort()
  await closed.promise
})

test('a redirect is followed without the login, and a client gets the bytes', async (t) => {
  const store = await startWebServer((_seen, response) => void response.end('content'))
  t.after(store.close)
  const registry = await startRegistry(t, (_seen, response) => {
    response.writeHead(307, { location: `${store.url}/stored/1` }).end()
  })
  const { url } = await startSurrogate(t, registry.url, [new URL(store.url).origin])
  const answer = await fetch(`${url}/v2/a/blobs/sha256:ab`, { redirect: 'manual' })
  assert.equal(answer.status, 200)
  assert.equal(await answer.text(), 'content')
  assert.equal(store.requests.at(-1)?.headers['authorization'], undefined)
})

test('a registry that does not answer is 503 with the reason', async (t) => {
  const { url } = await startSurrogate(t, 'http://127.0.0.1:9')
  const answer = await fetch(`${url}/v2/`)
  assert.equal(answer.status, 503)
  assert.match(await answer.text(), /cannot use http:\/\/127\.0\.0\.1:9: connection refused/)
})
