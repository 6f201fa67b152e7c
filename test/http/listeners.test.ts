import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import { after, afterEach, before, suite, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { sendContinue } from '../../src/http/continue.ts'
import { type Listeners, listen } from '../../src/http/http.ts'
import { createReservations } from '../../src/memory/reservations.ts'
import { eventually } from '../support/berth.ts'
import { type Authority, createAuthority, type KeyPair } from '../support/certificates.ts'
import { connectRaw } from '../support/raw.ts'

let authority: Authority
let pair: KeyPair
const started: Listeners[] = []

before(async () => {
  authority = await createAuthority('listeners')
  pair = await authority.issue(['IP:127.0.0.1'])
})
after(() => authority.remove())
afterEach(async () => {
  await Promise.all(started.splice(0).map((listeners) => listeners.close(0)))
})

type StartOptions = Partial<Parameters<typeof listen>[0]>

async function start(
  handler: RequestListener,
  options: StartOptions = {},
): Promise<{ readonly listeners: Listeners; readonly url: string }> {
  const usual = { hosts: ['127.0.0.1'], port: 0, maxConnections: 100 }
  const listeners = await listen({ ...usual, ...options, handler })
  started.push(listeners)
  const scheme = options.tls === undefined ? 'http' : 'https'
  return { listeners, url: `${scheme}://127.0.0.1:${listeners.addresses[0]?.port}` }
}

const sayOk: RequestListener = (_request, response) => {
  response.writeHead(200, { 'content-length': 2 }).end('ok')
}

function createCounter() {
  let counted = 0
  return {
    add: () => {
      counted += 1
    },
    count: () => counted,
  }
}

/** The code of the error in an answer of the specification's shape. */
function codeIn(body: Buffer): unknown {
  const { errors } = JSON.parse(body.toString('utf8')) as { errors: { code: string }[] }
  return errors[0]?.code
}

for (const scheme of ['http', 'https'] as const) {
  const tls = () => (scheme === 'https' ? { tls: pair } : {})

  suite(`over ${scheme}`, () => {
    test('connections above the limit get 503 while all others wait for responses (L92)', async () => {
      const [asked, gate] = [createCounter(), Promise.withResolvers<void>()]
      const handler: RequestListener = async (request, response) => {
        asked.add()
        await gate.promise
        sayOk(request, response)
      }
      const { url } = await start(handler, { ...tls(), maxConnections: 2 })
      const first = [await connectRaw(url), await connectRaw(url)]
      for (const { ask } of first) ask('GET / HTTP/1.1', 'Host: x')
      await eventually('both are being answered', () => asked.count() === 2)
      const surplus = await connectRaw(url)
      surplus.ask('GET / HTTP/1.1', 'Host: x')
      const { status, headers, body } = await surplus.reply()
      assert.equal(status, 503)
      assert.equal(headers['retry-after'], '1')
      assert.equal(headers['connection'], 'close')
      assert.equal(codeIn(body), 'UNAVAILABLE')
      await surplus.closed
      gate.resolve()
      for (const connection of first) assert.equal((await connection.reply()).status, 200)
      const next = await connectRaw(url)
      next.ask('GET / HTTP/1.1', 'Host: x')
      assert.equal((await next.reply()).status, 200)
      for (const { socket } of [...first, next]) socket.destroy()
    })

    test('a new connection closes the oldest silent one (R208)', async () => {
      const { url } = await start(sayOk, { ...tls(), maxConnections: 3 })
      const { port, hostname } = new URL(url)
      const silent: Socket[] = []
      for (let at = 0; at < 10; at += 1) {
        const socket = connect(Number(port), hostname)
        socket.on('error', () => {})
        await once(socket, 'connect')
        silent.push(socket)
      }
      const client = await connectRaw(url)
      client.ask('GET / HTTP/1.1', 'Host: x')
      assert.equal((await client.reply()).status, 200)
      const isClosed = () => silent.map((socket) => socket.closed)
      await eventually('the oldest are closed', () => isClosed().filter(Boolean).length === 8)
      assert.deepEqual(isClosed().slice(8), [false, false])
      for (const socket of [...silent, client.socket]) socket.destroy()
    })

    test('idle connections are closed when they take too much memory (R206)', async () => {
      const connectionMemory = createReservations(3 * 80 * 1024)
      const { url } = await start(sayOk, { ...tls(), connectionMemory })
      const clients = []
      for (let at = 0; at < 15; at += 1) {
        const client = await connectRaw(url)
        client.ask('GET / HTTP/1.1', 'Host: x')
        assert.equal((await client.reply()).status, 200)
        clients.push(client)
      }
      await clients[0]?.closed
      assert.ok(connectionMemory.used() > 0)
      for (const { socket } of clients) socket.destroy()
      await eventually('all is given back', () => connectionMemory.used() === 0)
    })

    test('silent connections are closed after the headers timeout (R208)', async () => {
      const { url } = await start(sayOk, { ...tls(), timeouts: { headers: 200 } })
      const { port, hostname } = new URL(url)
      const silent = connect(Number(port), hostname).on('error', () => {})
      silent.resume()
      const began = performance.now()
      await once(silent, 'close')
      assert.ok(performance.now() - began < 20_000)
    })

    test('a request that is served above the limit is answered when the service is full (R208)', async () => {
      const asked = createCounter()
      const handler: RequestListener = (request, response) => {
        if (request.url === '/livez') return sayOk(request, response)
        asked.add()
        response.writeHead(200, { 'content-length': 100 }).write('begun')
      }
      const isServedAboveLimit = ({ url }: { url?: string | undefined }) => url === '/livez'
      const { url } = await start(handler, { ...tls(), maxConnections: 2, isServedAboveLimit })
      const slow = [await connectRaw(url), await connectRaw(url)]
      for (const { ask } of slow) ask('GET /metrics HTTP/1.1', 'Host: x')
      await eventually('both are being answered', () => asked.count() === 2)
      for (const [path, status] of [
        ['/livez', 200],
        ['/metrics', 503],
      ] as const) {
        const probe = await connectRaw(url)
        probe.ask(`GET ${path} HTTP/1.1`, 'Host: x')
        assert.equal((await probe.reply()).status, status)
        probe.socket.destroy()
      }
      for (const { socket } of slow) socket.destroy()
    })

    test('draining closes idle connections at once, and no others (K162)', async () => {
      const answer = Promise.withResolvers<void>()
      const asked = Promise.withResolvers<void>()
      const { listeners, url } = await start(async (request, response) => {
        if (request.url === '/slow') {
          asked.resolve()
          await answer.promise
        }
        sayOk(request, response)
      }, tls())
      const idle = await connectRaw(url)
      idle.ask('GET / HTTP/1.1', 'Host: x')
      await idle.reply()
      const busy = await connectRaw(url)
      busy.ask('GET /slow HTTP/1.1', 'Host: x')
      const fresh = await connectRaw(url)
      await asked.promise
      listeners.drain()
      await idle.closed
      answer.resolve()
      assert.equal((await busy.reply()).status, 200)
      fresh.ask('GET / HTTP/1.1', 'Host: x')
      const { status, headers } = await fresh.reply()
      assert.equal(status, 200)
      assert.equal(headers['connection'], 'close')
      await fresh.closed
    })

    test('draining closes the connection of a body that was asked for by 100, and says so (K162)', async () => {
      const { listeners, url } = await start((request, response) => {
        sendContinue(request, response)
        request.resume()
        request.on('end', () => sayOk(request, response))
      }, tls())
      const kept = await connectRaw(url)
      const closing = await connectRaw(url)
      const ask = ({ ask: say }: typeof kept) =>
        say('PUT / HTTP/1.1', 'Host: x', 'Content-Length: 4', 'Expect: 100-continue')
      const answerOf = async (client: typeof kept) => {
        await eventually('100', () => client.rest().includes('100 Continue\r\n\r\n'))
        client.send('body')
        await eventually('200', () => client.rest().includes('\r\n\r\nok'))
        return client.rest().toString('latin1')
      }
      ask(kept)
      assert.doesNotMatch(await answerOf(kept), /connection: close/i)
      listeners.drain()
      ask(closing)
      assert.match(await answerOf(closing), /connection: close/i)
      await closing.closed
    })

    test('draining does not cut off a response that the client has not read yet (K161)', async () => {
      const body = Buffer.alloc(32 * 1024 * 1024, 'x')
      const ended = Promise.withResolvers<void>()
      const { listeners, url } = await start((_request, response) => {
        response.writeHead(200, { 'content-length': body.length }).end(body)
        ended.resolve()
      }, tls())
      const client = await connectRaw(url, { paused: true })
      client.ask('GET / HTTP/1.1', 'Host: x')
      await ended.promise
      listeners.drain()
      const closed = listeners.close(30_000)
      client.resume()
      assert.equal((await client.reply()).body.length, body.length)
      await closed
    })

    test('closing ends with the last response, though its client keeps the connection (K161)', async () => {
      const answer = Promise.withResolvers<void>()
      const asked = Promise.withResolvers<void>()
      const { listeners, url } = await start(async (_request, response) => {
        response.writeHead(200, { 'content-length': 2 })
        response.flushHeaders()
        asked.resolve()
        await answer.promise
        response.end('ok')
      }, tls())
      const client = await connectRaw(url)
      client.ask('GET / HTTP/1.1', 'Host: x')
      await asked.promise
      listeners.drain()
      const began = performance.now()
      const closed = listeners.close(60_000)
      answer.resolve()
      assert.equal((await client.reply()).body.toString(), 'ok')
      await closed
      assert.ok(performance.now() - began < 20_000, 'it did not wait for the deadline')
    })

    test('responses that are not complete after the grace period are cut off (K163)', async () => {
      const asked = Promise.withResolvers<void>()
      const { listeners, url } = await start((_request, response) => {
        response.writeHead(200, { 'content-length': 100 })
        response.write('begun')
        asked.resolve()
      }, tls())
      const client = await connectRaw(url)
      client.ask('GET / HTTP/1.1', 'Host: x')
      await asked.promise
      await listeners.close(50)
      await client.closed
    })

    test('no connection is accepted after closing', async () => {
      const { listeners, url } = await start(sayOk, tls())
      await listeners.close(1000)
      await assert.rejects(connectRaw(url), { code: 'ECONNREFUSED' })
    })

    test('input that is not HTTP gets an error response, and the connection is closed (P19)', async () => {
      const { url } = await start(sayOk, tls())
      for (const line of [
        'what is this',
        'PRI * HTTP/2.0\r\n\r\nSM',
        'GET / HTTP/1.1\r\nHo st: x',
      ]) {
        const client = await connectRaw(url)
        client.send(`${line}\r\n\r\n`)
        const { status, headers, body } = await client.reply()
        assert.equal(status, 400)
        assert.equal(headers['content-type'], 'application/json')
        assert.equal(codeIn(body), 'UNSUPPORTED')
        await client.closed
      }
    })

    test('invalid input behind a request does not corrupt the response in progress', async () => {
      const nonsenseIsThere = Promise.withResolvers<void>()
      const { url } = await start(async (_request, response) => {
        response.writeHead(200, { 'content-length': 200 })
        response.write('x'.repeat(100))
        await nonsenseIsThere.promise
        response.end('x'.repeat(100))
      }, tls())
      const client = await connectRaw(url)
      client.ask('GET / HTTP/1.1', 'Host: x')
      await eventually('the first half', () => client.rest().includes('x'.repeat(100)))
      client.send('nonsense\r\n\r\n')
      await client.closed
      nonsenseIsThere.resolve()
      assert.match(client.rest().toString('latin1'), /\r\n\r\nx{100}$/)
    })

    test('a request body that does not arrive does not corrupt the response (X178)', async () => {
      const { url } = await start(
        (_request, response) => {
          response.writeHead(200, { 'content-length': 200 })
          response.write('x'.repeat(100))
        },
        { ...tls(), timeouts: { headers: 100, request: 200 } },
      )
      const client = await connectRaw(url)
      client.ask('GET / HTTP/1.1', 'Host: x', 'Content-Length: 100')
      await client.closed
      assert.match(client.rest().toString('latin1'), /\r\n\r\nx{100}$/)
    })

    test('slow headers get 408, and the connection is closed (X178)', async () => {
      const { url } = await start(sayOk, { ...tls(), timeouts: { headers: 200 } })
      const client = await connectRaw(url)
      client.send('GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ')
      assert.equal((await client.reply()).status, 408)
      await client.closed
    })

    test('a client that reads nothing of a response is disconnected (X178)', async () => {
      const body = Buffer.alloc(32 * 1024 * 1024, 'x')
      const closed = Promise.withResolvers<boolean>()
      const { url } = await start(
        (_request, response) => {
          response.once('close', () => closed.resolve(response.writableFinished))
          response.writeHead(200, { 'content-length': body.length }).end(body)
        },
        { ...tls(), timeouts: { idle: 300 } },
      )
      const client = await connectRaw(url, { paused: true })
      client.ask('GET / HTTP/1.1', 'Host: x')
      assert.equal(await closed.promise, false)
      client.reset()
    })

    test('CONNECT and headers that are too large are rejected (P19, A100)', async () => {
      const { url } = await start(sayOk, tls())
      const tunnel = await connectRaw(url)
      tunnel.ask('CONNECT example.org:443 HTTP/1.1', 'Host: example.org:443')
      assert.equal((await tunnel.reply()).status, 405)
      await tunnel.closed
      const flood = await connectRaw(url)
      flood.ask('GET / HTTP/1.1', 'Host: x', `X: ${'x'.repeat(70_000)}`)
      assert.equal((await flood.reply()).status, 431)
      await flood.closed
    })

    test('Content-Length with chunked encoding, and two Content-Lengths, are rejected', async () => {
      const { url } = await start(sayOk, tls())
      const strange = [
        ['Content-Length: 5', 'Transfer-Encoding: chunked'],
        ['Transfer-Encoding: chunked', 'Content-Length: 5'],
        ['Content-Length: 5', 'Content-Length: 6'],
        ['Content-Length: 5', 'Content-Length: 5'],
        ['Content-Length: +5'],
        ['Transfer-Encoding: chunked, identity'],
      ]
      for (const headers of strange) {
        const client = await connectRaw(url)
        client.ask('POST / HTTP/1.1', 'Host: x', ...headers)
        client.send('0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n')
        const { status } = await client.reply()
        assert.equal(status, 400, headers.join())
        await client.closed
        assert.equal(client.rest().length, 0, headers.join())
      }
    })

    test('an unknown transfer coding closes the connection', async () => {
      const seen: unknown[] = []
      const { url } = await start((request, response) => {
        seen.push(request.url)
        sayOk(request, response)
      }, tls())
      const client = await connectRaw(url)
      client.ask('POST / HTTP/1.1', 'Host: x', 'Transfer-Encoding: xchunked')
      client.send('0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n')
      await client.closed
      assert.ok(!seen.includes('/smuggled'))
    })

    test('chunks of HTTP/1.0 are refused, and nothing behind them is a request', async () => {
      const handled: (string | undefined)[] = []
      const { url } = await start((request, response) => {
        handled.push(request.url)
        sayOk(request, response)
      }, tls())
      const client = await connectRaw(url)
      client.send(
        'POST /upload HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n' +
          '3\r\nabc\r\n0\r\n\r\nDELETE /behind HTTP/1.0\r\n\r\n',
      )
      const { status, headers } = await client.reply()
      assert.equal(status, 400)
      assert.equal(headers['connection'], 'close')
      await client.closed
      assert.equal(client.rest().length, 0)
      assert.deepEqual(handled, [])
    })

    test('a connection with many pending responses is not read (R201)', async () => {
      const answers: (() => void)[] = []
      const gate = Promise.withResolvers<void>()
      const { url } = await start(async (request, response) => {
        answers.push(() => sayOk(request, response))
        await gate.promise
        sayOk(request, response)
      }, tls())
      const client = await connectRaw(url)
      const padding = `X: ${'x'.repeat(2000)}`
      const count = 10_000
      for (let at = 0; at < count; at += 1) client.ask('GET / HTTP/1.1', 'Host: x', padding)
      const other = await connectRaw(url)
      other.ask('GET / HTTP/1.1', 'Host: x')
      await eventually('requests of both are read', () => answers.length > 16)
      // The kernel's buffers of both sides hold far less than all of it.
      assert.ok(client.socket.writableLength > 0, 'the client has to wait')
      assert.ok(answers.length <= 100, `${answers.length} requests were read`)
      gate.resolve()
      for (let at = 0; at < count; at += 1) assert.equal((await client.reply()).status, 200)
      for (const connection of [client, other]) connection.socket.destroy()
    })

    test('a connection that brings hundreds of requests in one read is closed (R201)', async () => {
      let asked = 0
      const { url } = await start(() => {
        asked += 1
      }, tls())
      const client = await connectRaw(url)
      client.send('GET / HTTP/1.1\r\n\r\n'.repeat(5000))
      await client.closed
      assert.ok(asked <= 128, `${asked} requests were handled`)
    })

    test('an unknown Expect header is ignored', async () => {
      const { url } = await start(sayOk, tls())
      const client = await connectRaw(url)
      client.ask('GET / HTTP/1.1', 'Host: x', 'Expect: a-miracle')
      assert.equal((await client.reply()).status, 200)
      client.socket.destroy()
    })
  })
}

test('a TLS hello on a plain port gets a reply that begins with HTTP/ (T17)', async () => {
  const { url } = await start(sayOk)
  const client = await connectRaw(url)
  client.send(await recordHello())
  assert.equal((await client.reply()).status, 400)
  await client.closed
})

/** The first bytes of a TLS client. */
async function recordHello(): Promise<Buffer> {
  const heard = Promise.withResolvers<Buffer>()
  const server = createServer((socket) => socket.once('data', heard.resolve)).listen(0)
  await once(server, 'listening')
  const address = server.address()
  const hello = connectTls({ port: typeof address === 'object' ? (address?.port ?? 0) : 0 })
  hello.on('error', () => {})
  try {
    return await heard.promise
  } finally {
    hello.destroy()
    server.close()
  }
}

test('a new key pair is used for new connections, the old one for existing ones', async () => {
  const { listeners, url } = await start(sayOk, { tls: pair })
  const subjectOf = async () => {
    const socket = connectTls({ port: Number(new URL(url).port), rejectUnauthorized: false })
    const secure = Promise.withResolvers<string>()
    socket.once('secureConnect', () => secure.resolve(socket.getPeerCertificate().fingerprint256))
    const fingerprint = await secure.promise
    socket.destroy()
    return fingerprint
  }
  const old = await connectRaw(url)
  const before = await subjectOf()
  listeners.setKeyPair(await authority.issue(['IP:127.0.0.1']))
  assert.notEqual(await subjectOf(), before)
  old.ask('GET / HTTP/1.1', 'Host: x')
  assert.equal((await old.reply()).status, 200)
  assert.throws(() => listeners.setKeyPair({ certificate: 'none', key: 'none' }), /PEM/i)
  assert.notEqual(await subjectOf(), before)
})

test('several addresses share one port, and a host that cannot be bound is an error', async () => {
  const { listeners } = await start(sayOk, { hosts: ['127.0.0.1', '::1'] })
  const ports = new Set(listeners.addresses.map(({ port }) => port))
  assert.equal(ports.size, 1)
  await assert.rejects(start(sayOk, { hosts: ['192.0.2.1'] }), { code: 'EADDRNOTAVAIL' })
})
