import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { isRegistryError } from '../../src/oci/errors.ts'
import { createOutbound } from '../../src/outbound/outbound.ts'
import { UpstreamFailure } from '../../src/remote/faults.ts'
import { createTransport, type Transport } from '../../src/remote/transport.ts'
import { eventually } from '../support/berth.ts'
import { useClock } from '../support/clock.ts'
import { startFakeServer } from '../support/fake-server.ts'
import { readAll, shortTimeouts } from '../support/remotes.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

let upstream: ScriptedUpstream
let transport: Transport

before(async () => {
  upstream = await startScriptedUpstream()
})
after(() => upstream.close())
beforeEach(() => {
  upstream.behave()
  transport = open()
})
afterEach(() => transport.close())

function open(options: Partial<Parameters<typeof createTransport>[0]> = {}): Transport {
  return createTransport({
    timeouts: shortTimeouts,
    userAgent: 'berth/test',
    outbound: createOutbound(),
    host: '127.0.0.1',
    ...options,
  })
}

type Ask = Partial<Parameters<Transport['send']>[0]>

function ask(path = '/x', options: Ask = {}, through = transport) {
  const url = new URL(path, upstream.url)
  return through.send({ method: 'GET', url, trust: 'own', headers: {}, ...options })
}

/** An UpstreamFailure of this kind and status. */
function failure(fault: UpstreamFailure['fault'], status: number, message = /./) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof UpstreamFailure, String(error))
    assert.deepEqual([error.fault, error.status], [fault, status], error.message)
    assert.match(error.message, message)
    return true
  }
}

/** Connections of the requests for a path, in their order: equal ones were used again. */
function connectionsOf(path: string): readonly Socket[] {
  return upstream.requests.flatMap((request) => (request.path === path ? [request.socket] : []))
}

test('an answer has the status, headers and bytes that were sent', async () => {
  upstream.on('GET /x', ({ reply }) => reply(203, { 'x-y': '1' }, 'bytes'))
  const answer = await ask()
  assert.equal(answer.status, 203)
  assert.equal(answer.header('x-y'), '1')
  assert.equal(answer.header('missing'), undefined)
  assert.equal((await readAll(answer.body)).toString(), 'bytes')
})

test('no compression is requested, and a compressed body is not decompressed (P15, U38)', async () => {
  const packed = Buffer.from('1f8b0800', 'hex')
  upstream.on('GET /packed', ({ reply }) => reply(200, { 'content-encoding': 'gzip' }, packed))
  const answer = await ask('/packed')
  assert.deepEqual(await readAll(answer.body), packed)
  assert.equal(upstream.requests.at(-1)?.headers['accept-encoding'], 'identity')
})

test('an answer that does not arrive in time is slow (U27)', async () => {
  upstream.on('GET /silent', () => {})
  const impatient = open({ timeouts: { ...shortTimeouts, firstByte: 200 } })
  await assert.rejects(ask('/silent', {}, impatient), failure('slow', 504, /no answer within/))
  await impatient.close()
})

test('an answer after 103 is an answer; 100 that nobody asked for is an error that says so', async () => {
  for (const status of ['103 Early Hints', '100 Continue'])
    upstream.on(`GET /${status.slice(0, 3)}`, async ({ write, reply }) => {
      await write(`HTTP/1.1 ${status}\r\n\r\n`)
      reply(200)
    })
  assert.equal((await ask('/103')).status, 200)
  await assert.rejects(ask('/100'), failure('garbled', 502, /it sent 100 \(Continue\) without/))
})

test('endless 1XX answers time out (C209, issue 46)', async () => {
  upstream.on('GET /early', async ({ write, socket }) => {
    for (; !socket.destroyed; await sleep(20)) await write('HTTP/1.1 103 Early Hints\r\n\r\n')
  })
  const impatient = open({ timeouts: { ...shortTimeouts, firstByte: 200 } })
  await assert.rejects(ask('/early', {}, impatient), failure('slow', 504, /no answer within/))
  await impatient.close()
})

test('an upload to a receiver that gives signs ends when they stop, and not before', async () => {
  const frozen = Promise.withResolvers<void>()
  const receiver = await startFakeServer(async ({ path }, response) => {
    if (path === '/frozen') return
    const signs = setInterval(() => response.writeProcessing(), 50)
    await frozen.promise
    clearInterval(signs)
    response.writeHead(202).end()
  })
  const impatient = open({ timeouts: { ...shortTimeouts, firstByte: 1000 } })
  const upload = (path: string) => {
    async function* chunks() {
      yield [Buffer.from('x')]
    }
    const url = new URL(path, receiver.url)
    const options = { url, method: 'PATCH', isPatient: true } as const
    return ask(path, { ...options, body: { size: 1, chunks: chunks() } }, impatient)
  }
  const busy = upload('/busy')
  await assert.rejects(upload('/frozen'), failure('slow', 504, /no answer within/))
  frozen.resolve()
  assert.equal((await busy).status, 202)
  await Promise.all([impatient.close(), receiver.stop()])
})

test('the rest of an answer that is not needed does not hold its connection (C209, issue 46)', async () => {
  upstream.on('GET /slow-404', ({ head }) => head(404, { 'content-length': '1000' }))
  const answer = await ask('/slow-404')
  answer.drop()
  await answer.settled
})

test('a body that stops arriving is slow (U27)', async () => {
  upstream.on('GET /stops', ({ head, write }) => {
    head(200, { 'content-length': '10' })
    return write('half')
  })
  const impatient = open({ timeouts: { ...shortTimeouts, idle: 200 } })
  const { body } = await ask('/stops', {}, impatient)
  await assert.rejects(readAll(body), failure('slow', 504, /stopped arriving/))
  await impatient.close()
})

test('a body below the minimum rate is slow, although it does not stop (U28)', async (t) => {
  const clock = useClock(t)
  const more = upstreamThatSendsWhenTold('/trickle')
  const { body } = await ask('/trickle')
  const pieces = body[Symbol.asyncIterator]()
  const send = await more
  await assert.rejects(
    async () => {
      for (let times = 0; times < 5; times += 1) {
        const piece = pieces.next()
        piece.catch(() => {})
        await new Promise((resolve) => setTimeout(resolve, 20))
        clock.advance(6000)
        send('x')
        if ((await piece).done) return
      }
    },
    failure('slow', 504),
  )
  await eventually('the connection is closed', () => connectionsOf('/trickle')[0]?.closed === true)
})

test('time that the reader takes does not count against the upstream (U28)', async (t) => {
  const clock = useClock(t)
  const more = upstreamThatSendsWhenTold('/reader')
  const { body } = await ask('/reader')
  const pieces = body[Symbol.asyncIterator]()
  const send = await more
  for (let times = 0; times < 5; times += 1) {
    send('x')
    assert.equal((await pieces.next()).done, false)
    clock.advance(60_000)
  }
  await pieces.return?.()
})

/** Resolves, once asked, to what sends a byte of an endless body. */
function upstreamThatSendsWhenTold(path: string): Promise<(bytes: string) => void> {
  const asked = Promise.withResolvers<(bytes: string) => void>()
  upstream.on(`GET ${path}`, ({ head, write }) => {
    head(200, { 'content-length': '1000000' })
    asked.resolve((bytes) => void write(bytes))
  })
  return asked.promise
}

test('a body that ends before its length, by FIN or RST, is broken (U29, U31)', async () => {
  for (const how of ['end', 'reset'] as const) {
    upstream.on(`GET /${how}`, async (exchange) => {
      exchange.head(200, { 'content-length': '10' })
      await exchange.write('half')
      exchange[how]()
    })
    const { body } = await ask(`/${how}`)
    await assert.rejects(readAll(body), failure('broken', 503))
  }
})

test('a connection that ends before the headers is broken, also one that was kept alive too long (U54)', async () => {
  upstream.on('GET /gone', ({ end }) => end())
  await assert.rejects(ask('/gone'), failure('broken', 503, /connection broke/))
})

test('a body that is longer than its Content-Length is truncated, and its connection not reused (U33)', async () => {
  upstream.on('GET /long', ({ head, write }) => {
    head(200, { 'content-length': '4' })
    return write('fourHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen')
  })
  const first = await ask('/long')
  assert.equal((await readAll(first.body)).toString(), 'four')
  upstream.behave()
  upstream.on('GET /next', ({ reply }) => reply(200, {}, 'next'))
  const next = await ask('/next')
  assert.equal((await readAll(next.body)).toString(), 'next')
  assert.notEqual(connectionsOf('/next')[0], connectionsOf('/long')[0])
})

test('headers of 60 kB are accepted, those of 200 kB are an error (U55)', async () => {
  const long = (length: number) => ({ location: `https://x/?token=${'t'.repeat(length)}` })
  upstream.on('GET /some', ({ reply }) => reply(302, long(60_000)))
  upstream.on('GET /many', ({ reply }) => reply(302, long(200_000)))
  const { status, drop } = await ask('/some')
  drop()
  assert.equal(status, 302)
  await assert.rejects(ask('/many'), failure('garbled', 502))
})

test('contradictory lengths are an error: two Content-Lengths, or one with chunked encoding (U55)', async () => {
  upstream.on('GET /two', ({ head, write }) => {
    head(200, { 'content-length': ['4', '5'] })
    return write('fourx')
  })
  upstream.on('GET /both', ({ head, write }) => {
    head(200, { 'content-length': '4', 'transfer-encoding': 'chunked' })
    return write('4\r\nfour\r\n0\r\n\r\n')
  })
  for (const path of ['/two', '/both'])
    await assert.rejects(async () => readAll((await ask(path)).body), failure('broken', 503))
})

test('a response that is not HTTP is garbled (U55)', async () => {
  for (const [path, bytes] of [
    ['/ssh', 'SSH-2.0-OpenSSH_9.6\r\n'],
    ['/negative', 'HTTP/1.1 200 OK\r\ncontent-length: -4\r\n\r\nfour'],
    ['/control', 'HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n'],
  ] as const) {
    upstream.on(`GET ${path}`, ({ write }) => write(bytes))
    await assert.rejects(ask(path), failure('garbled', 502, /not HTTP/))
  }
})

test('a dropped answer leaves its connection reusable if little of it remains', async () => {
  upstream.on('GET /small', ({ reply }) => reply(200, {}, Buffer.alloc(1000)))
  for (let times = 0; times < 3; times += 1) {
    const { drop } = await ask('/small')
    drop()
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.equal(new Set(connectionsOf('/small')).size, 1)
})

test('an answer that is dropped, or not read to its end, closes its connection if much of it remains', async () => {
  upstream.on('GET /large', ({ head, write }) => {
    head(200, { 'content-length': '100000000' })
    return write(Buffer.alloc(10_000_000))
  })
  const { drop } = await ask('/large')
  drop()
  const { body } = await ask('/large')
  for await (const _ of body) break
  await eventually('both are closed', () => connectionsOf('/large').every(({ closed }) => closed))
})

test('a request can be cancelled before, at and after the headers', async () => {
  const reason = isRegistryErrorOf('UNAVAILABLE')
  const stop = () => AbortSignal.abort(new Error('not any more'))
  await assert.rejects(ask('/x', { signal: stop() }), reason)
  assert.equal(upstream.count('GET /never'), 0)

  const early = new AbortController()
  upstream.on('GET /early', () => early.abort())
  await assert.rejects(ask('/early', { signal: early.signal }), reason)

  const late = new AbortController()
  upstream.on('GET /late', ({ head, write }) => {
    head(200, { 'content-length': '100' })
    return write('some')
  })
  const { body } = await ask('/late', { signal: late.signal })
  late.abort()
  await assert.rejects(readAll(body), reason)
  await eventually('connections are closed', () =>
    [...connectionsOf('/early'), ...connectionsOf('/late')].every(({ closed }) => closed),
  )
})

function isRegistryErrorOf(code: 'UNAVAILABLE') {
  return (error: unknown): boolean => isRegistryError(error, code)
}

test('a port without a listener is unreachable (U25)', async () => {
  const closed = await startScriptedUpstream()
  await closed.close()
  const url = new URL('/x', closed.url)
  await assert.rejects(ask('/x', { url }), failure('unreachable', 503, /connection refused/))
})

test('a name that does not resolve is reported as unreachable (U21)', async () => {
  const url = new URL('http://nowhere.invalid/x')
  await assert.rejects(
    ask('/x', { url }),
    failure('unreachable', 503, /http:\/\/nowhere\.invalid: (its name|no connection)/),
  )
})

test('a connection attempt without an answer times out (U24)', async () => {
  const { port, free } = await blackHole()
  const impatient = open({ timeouts: { ...shortTimeouts, connect: 300, firstByte: 60_000 } })
  try {
    const url = new URL(`http://127.0.0.1:${port}/x`)
    await assert.rejects(
      ask('/x', { url }, impatient),
      failure('unreachable', 503, /no connection within/),
    )
  } finally {
    await impatient.close()
    free()
  }
})

/** A port whose queue of connections is full: the system drops what more knocks, as a firewall would. */
async function blackHole(): Promise<{ readonly port: number; readonly free: () => void }> {
  const script =
    "const s = require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(s.address().port))"
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const port = Number(line.toString())
  child.kill('SIGSTOP')
  const fillers = Array.from({ length: 8 }, () => connect(port, '127.0.0.1').on('error', () => {}))
  await new Promise((resolve) => setTimeout(resolve, 200))
  const free = () => {
    for (const socket of fillers) socket.destroy()
    child.kill('SIGKILL')
  }
  return { port, free }
}

test('a foreign host with a private address is not connected to, and the error names the field that would allow it (U50, C188)', async () => {
  const { port } = upstream
  const before = upstream.requests.length
  const url = new URL(`http://localhost:${port}/x`)
  for (const trust of ['foreign', 'sibling'] as const)
    for (const listedUnder of ['redirects', 'tokenRealms'] as const)
      await assert.rejects(ask('/x', { url, trust, listedUnder }), (error) => {
        assert.ok(isRegistryError(error, 'UNAVAILABLE') && !(error instanceof UpstreamFailure))
        assert.equal(error.status, 502)
        assert.match(error.message, /localhost has no public address, only 127\.0\.0\.1/)
        const field = `list http://localhost:${port} under upstreams[].${listedUnder}`
        assert.equal(error.advice, `if that is right, ${field}`)
        return true
      })
  assert.equal(upstream.requests.length, before)
})

test('requests have a User-Agent', async () => {
  upstream.on('GET /agent', ({ reply }) => reply(200))
  const { drop } = await ask('/agent', { headers: { accept: 'a/b' } })
  drop()
  const { headers } = upstream.requests.at(-1) ?? {}
  assert.equal(headers?.['user-agent'], 'berth/test')
  assert.equal(headers?.['accept'], 'a/b')
})
