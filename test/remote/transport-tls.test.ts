import assert from 'node:assert/strict'
import { once } from 'node:events'
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { createOutbound, type ForwardProxy } from '../../src/outbound/outbound.ts'
import { UpstreamFailure } from '../../src/remote/faults.ts'
import { createTransport, type Transport } from '../../src/remote/transport.ts'
import { createCanaries } from '../support/canaries.ts'
import { type Authority, createAuthority } from '../support/certificates.ts'
import { type ConnectProxy, startConnectProxy } from '../support/connect-proxy.ts'
import { openRemote, readAll, shortTimeouts } from '../support/remotes.ts'
import { sendJson, startWebServer, type WebServer } from '../support/web-server.ts'

const canaries = createCanaries()
let authority: Authority
let right: WebServer
let opened: Transport[]
let proxy: ConnectProxy

before(async () => {
  authority = await createAuthority('the company')
  right = await serve(['DNS:registry.example.com', 'IP:127.0.0.1'])
  // Whatever name is asked for is here.
  proxy = await startConnectProxy({ route: () => ({ host: '127.0.0.1', port: right.port }) })
})
after(() => Promise.all([right.close(), proxy.close(), authority.remove()]))
beforeEach(() => {
  opened = []
})
afterEach(() => Promise.all(opened.map((transport) => transport.close())))

async function serve(names: readonly string[], options = {}): Promise<WebServer> {
  const tls = await authority.issue(names, options)
  return startWebServer((_seen, response) => sendJson(response, { tags: ['tls'] }), { tls })
}

function open(options: Partial<Parameters<typeof createTransport>[0]> = {}): Transport {
  const transport = createTransport({
    timeouts: shortTimeouts,
    userAgent: 'berth/test',
    outbound: createOutbound(),
    host: '127.0.0.1',
    certificateAuthorities: authority.file,
    ...options,
  })
  opened.push(transport)
  return transport
}

async function ask(transport: Transport, url: string): Promise<string> {
  const headers = { authorization: `Bearer ${canaries.secret('token')}` }
  const answer = await transport.send({ method: 'GET', url: new URL(url), trust: 'own', headers })
  return (await readAll(answer.body)).toString()
}

function failure(fault: UpstreamFailure['fault'], message = /./) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof UpstreamFailure, String(error))
    assert.equal(error.fault, fault, error.message)
    assert.match(error.message, message)
    return true
  }
}

test("a company's own authority is trusted when it is configured, beside the system's", async () => {
  assert.equal(await ask(open(), right.url), '{"tags":["tls"]}')
})

test('a certificate of an unknown authority is rejected with advice (U26)', async () => {
  const transport = open({ certificateAuthorities: undefined })
  await assert.rejects(ask(transport, right.url), failure('untrusted', /certificateAuthorities/))
})

test('an expired certificate is rejected (U26)', async () => {
  const expired = await serve(['IP:127.0.0.1'], { expired: true })
  await assert.rejects(ask(open(), expired.url), failure('untrusted', /expired/))
  assert.equal(expired.requests.length, 0)
  await expired.close()
})

test("another host's certificate is refused (U26)", async () => {
  const other = await serve(['DNS:other.example.com'])
  await assert.rejects(ask(open(), other.url), failure('untrusted', /127\.0\.0\.1/))
  assert.equal(other.requests.length, 0)
  await other.close()
})

test('plain HTTP to a port of TLS says so, whether the server closes the connection, sends an alert or an error', async () => {
  const advice = /it may speak TLS on that port: https:\/\/ in the url/
  const plain = right.url.replace('https:', 'http:')
  await assert.rejects(ask(open(), plain), failure('broken', advice))
  const alert = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end(Buffer.from([0x15, 3, 1, 0, 2, 2, 70])))
  })
  alert.listen(0, '127.0.0.1')
  await once(alert, 'listening')
  const address = alert.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  await assert.rejects(ask(open(), `http://127.0.0.1:${port}/v2/`), failure('garbled', advice))
  alert.close()
  // Of Go's server, and in HTML of nginx.
  const other = await startWebServer((_seen, response) => {
    response.writeHead(400).end('Client sent an HTTP request to an HTTPS server.\n')
  })
  const remote = openRemote({ url: other.url })
  await assert.rejects(remote.tags(parseRepositoryName('a/b')), { message: advice })
  await remote.close()
  await other.close()
})

test('an https upstream gets no plain text (U26)', async () => {
  const heard: Buffer[] = []
  const plain = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      heard.push(bytes)
      socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n')
    })
  })
  plain.listen(0, '127.0.0.1')
  await once(plain, 'listening')
  const address = plain.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  await assert.rejects(
    ask(open(), `https://127.0.0.1:${port}/v2/`),
    failure('untrusted', /: TLS: wrong version number; it may speak plain HTTP on that port$/),
  )
  plain.close()
  assert.ok(heard.length > 0)
  for (const bytes of heard) assert.equal(bytes[0], 22, 'a TLS handshake')
  await canaries.assertUnseen({ texts: heard.map((bytes) => bytes.toString('latin1')) })
})

test('a missing file of authorities is an error at the start', () => {
  assert.throws(() => open({ certificateAuthorities: '/nowhere/ca.pem' }), /ENOENT/)
})

function through(settings: Partial<ForwardProxy>): Transport {
  return open({ outbound: createOutbound({ proxy: settings }) })
}

test("https goes through HTTPS_PROXY's tunnel, and the certificate is still the upstream's (U26)", async () => {
  const before = proxy.requests.length
  const transport = through({ https: proxy.url })
  assert.equal(await ask(transport, 'https://registry.example.com/v2/'), '{"tags":["tls"]}')
  assert.deepEqual(proxy.requests.slice(before), ['CONNECT registry.example.com:443'])
  await assert.rejects(
    ask(transport, 'https://impostor.example.org/v2/'),
    failure('untrusted', /impostor/),
  )
})

test('the proxy receives the port of the upstream', async () => {
  await ask(through({ https: proxy.url }), 'https://registry.example.com:8443/v2/')
  assert.equal(proxy.requests.at(-1), 'CONNECT registry.example.com:8443')
})

test('http goes through HTTP_PROXY, as a request for an absolute URL', async () => {
  const text = await ask(through({ http: proxy.url }), 'http://registry.example.com/v2/')
  assert.equal(text, '{"tags":["by-proxy"]}')
  assert.equal(proxy.requests.at(-1), 'GET http://registry.example.com/v2/')
})

test('http does not go through HTTPS_PROXY', async () => {
  const before = proxy.requests.length
  await assert.rejects(
    ask(through({ https: proxy.url }), 'http://registry.example.invalid/v2/'),
    failure('unreachable'),
  )
  assert.equal(proxy.requests.length, before)
})

test('NO_PROXY names hosts, domains and their subdomains, with or without a dot', async () => {
  const cases: [no: string, host: string, isProxied: boolean][] = [
    ['registry.example.com', 'registry.example.com', false],
    ['example.com', 'registry.example.com', false],
    ['.example.com', 'registry.example.com', false],
    ['other.org, .example.com', 'registry.example.com', false],
    ['*', 'registry.example.com', false],
    ['ample.com', 'registry.example.com', true],
    ['other.org', 'registry.example.com', true],
    ['', 'registry.example.com', true],
  ]
  for (const [no, host, isProxied] of cases) {
    const before = proxy.requests.length
    const transport = through({ https: proxy.url, no })
    // Without the proxy the name leads nowhere.
    await ask(transport, `https://${host}/v2/`).catch(() => {})
    assert.equal(proxy.requests.length > before, isProxied, `NO_PROXY=${no}`)
  }
})

test('requests to this machine use no proxy', async () => {
  const before = proxy.requests.length
  const transport = through({ https: proxy.url, http: proxy.url, no: 'other.org' })
  assert.equal(await ask(transport, right.url), '{"tags":["tls"]}')
  assert.equal(proxy.requests.length, before)
})

test("a proxy's own user and password go to the proxy alone, and into no error", async (t) => {
  const password = canaries.password('me')
  const basic = `Basic ${Buffer.from(`me:${password}`).toString('base64')}`
  const strict = await startConnectProxy({
    route: () => ({ host: '127.0.0.1', port: right.port }),
    wants: basic,
  })
  t.after(() => strict.close())
  const withUser = (user: string) => strict.url.replace('http://', `http://${user}@`)
  await ask(through({ https: withUser(`me:${password}`) }), 'https://registry.example.com/v2/')
  assert.equal(strict.authorizations.at(-1), basic)
  const wrong = through({ https: withUser(`you:${password}`) })
  await assert.rejects(ask(wrong, 'https://registry.example.com/v2/'), (error) => {
    assert.ok(error instanceof UpstreamFailure)
    assert.match(error.message, /407/)
    assert.ok(!error.message.includes(password))
    return true
  })
  assert.ok(right.requests.every(({ headers }) => headers['proxy-authorization'] === undefined))
})

test('a missing proxy is unreachable', async () => {
  const gone = await startConnectProxy()
  await gone.close()
  await assert.rejects(
    ask(through({ https: gone.url }), 'https://registry.example.com/v2/'),
    failure('unreachable', /connection refused/),
  )
})

test('a proxy that closes the connection is a failure without a wait', async (t) => {
  const rude = await startConnectProxy({ onConnect: (socket) => socket.destroy() })
  t.after(() => rude.close())
  await assert.rejects(
    ask(through({ https: rude.url }), 'https://registry.example.com/v2/'),
    (error) => error instanceof UpstreamFailure,
  )
})

test('a proxy without an answer times out (U24)', async (t) => {
  const silent = await startConnectProxy({ onConnect: () => {} })
  t.after(() => silent.close())
  const transport = open({
    outbound: createOutbound({ proxy: { https: silent.url } }),
    timeouts: { ...shortTimeouts, connect: 300, firstByte: 300 },
  })
  const late = new Promise((resolve) =>
    setTimeout(resolve, 10_000, 'nothing within 10 seconds').unref(),
  )
  const asked = ask(transport, 'https://registry.example.com/v2/')
  await assert.rejects(
    Promise.race([asked, late.then((text) => Promise.reject(new Error(String(text))))]),
    failure('slow'),
  )
})

test('SSL_CERT_FILE and SSL_CERT_DIR name authorities that are trusted, as for Go and OpenSSL (C193)', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'berth-certificates-'))
  t.after(() => rm(directory, { recursive: true }))
  await copyFile(authority.file, join(directory, 'company.crt'))
  const sources = [
    { file: authority.file },
    { directories: directory },
    { directories: `/nowhere:${directory}` },
    { file: authority.file, directories: '/nowhere' },
  ]
  for (const certificates of sources) {
    const transport = open({
      certificateAuthorities: undefined,
      outbound: createOutbound({ certificates }),
    })
    assert.equal(await ask(transport, right.url), '{"tags":["tls"]}')
  }
  const without = open({
    certificateAuthorities: undefined,
    outbound: createOutbound({ certificates: { file: '/nowhere' } }),
  })
  await assert.rejects(ask(without, right.url), failure('untrusted'))
})

test('a proxy without a scheme in its URL is used (C193)', async () => {
  const before = proxy.requests.length
  const transport = through({ https: new URL(proxy.url).host })
  assert.equal(await ask(transport, 'https://registry.example.com/v2/'), '{"tags":["tls"]}')
  assert.deepEqual(proxy.requests.slice(before), ['CONNECT registry.example.com:443'])
})

test('an address in a CIDR range of NO_PROXY is reached directly, one beside it by the proxy (C193)', async () => {
  for (const [no, isProxied] of [
    ['192.0.2.0/24', false],
    ['192.0.2.0/28', true],
  ] as const) {
    const before = proxy.requests.length
    const timeouts = { ...shortTimeouts, connect: 200 }
    const transport = open({
      timeouts,
      outbound: createOutbound({ proxy: { https: proxy.url, no } }),
    })
    // Nobody is there without the proxy (RFC 5737).
    await ask(transport, 'https://192.0.2.77/v2/').catch(() => {})
    assert.equal(proxy.requests.length > before, isProxied, `NO_PROXY=${no}`)
  }
})
