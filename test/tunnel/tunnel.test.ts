import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { createFrameParser, encodeFrame, encodeNumber, payloadOf } from '../../src/tunnel/frame.ts'
import { joinStreams, openTunnel, TunnelError } from '../../src/tunnel/tunnel.ts'
import { maxStreams } from '../../src/tunnel/windows.ts'
import { createRandom } from '../support/random.ts'
import { connectTo, listenFor, openTunnelScene, portOf, quickPauses } from '../support/tunnels.ts'
import { until } from '../support/until.ts'

const echo = (socket: Socket) => void socket.pipe(socket)

/** Writes all, ends, and returns what comes back. */
async function exchange(stream: Duplex, bytes: Buffer, piece = 10_000): Promise<Buffer> {
  const received = buffer(stream)
  for (let at = 0; at < bytes.length; at += piece)
    if (!stream.write(bytes.subarray(at, at + piece))) await once(stream, 'drain')
  stream.end()
  return received
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

test('bytes come back on many streams at once, and each half is closed by itself', async (t) => {
  const { tunnel, server } = await openTunnelScene(t, { serve: echo })
  assert.deepEqual(tunnel.registry, { scheme: 'http', hosted: ['local'] })
  const all = Array.from({ length: 20 }, (_, n) => randomBytes(n * 50_000))
  const back = await Promise.all(all.map((bytes) => exchange(tunnel.open(), bytes)))
  assert.deepEqual(back.map(sha256), all.map(sha256))
  await tunnel.close()
  assert.equal(await tunnel.closed, undefined)
  await until('the session has ended', () => assert.equal(server.sessions(), 0))
})

test('a link that is cut at random places loses no byte and repeats none', async (t) => {
  const random = createRandom(t)
  const { tunnel, proxy, states } = await openTunnelScene(t, { serve: echo })
  const all = Array.from({ length: 5 }, () => randomBytes(4_000_000))
  let next = random.integer(1_000_000)
  const cutting = setInterval(() => {
    if (proxy.passed.sent + proxy.passed.received < next) return
    next = proxy.passed.sent + proxy.passed.received + random.integer(1_500_000)
    proxy.cut()
  }, 1)
  const back = await Promise.all(all.map((bytes) => exchange(tunnel.open(), bytes)))
  clearInterval(cutting)
  assert.deepEqual(back.map(sha256), all.map(sha256))
  const again = states.filter(({ kind }) => kind === 'connected').slice(1)
  t.diagnostic(`${again.length} cuts`)
  assert.ok(again.length >= 10, 'it was cut')
  assert.ok(again.every((state) => 'isResumed' in state && state.isResumed))
})

test('a stream that is opened while there is no link waits for it', async (t) => {
  const { tunnel, proxy, states } = await openTunnelScene(t, { serve: echo })
  proxy.refuse()
  proxy.cut()
  await until('it is broken', () => assert.equal(states.at(-1)?.kind, 'failed'))
  const back = exchange(tunnel.open(), Buffer.from('late'))
  proxy.restore()
  assert.equal((await back).toString(), 'late')
})

test('a reader that does not read stops its writer, and no other stream', async (t) => {
  const written: number[] = []
  const { tunnel } = await openTunnelScene(t, {
    serve: (socket) => {
      const at = written.push(0) - 1
      const chunk = Buffer.alloc(64 * 1024)
      const fill = () => {
        while (socket.writable && socket.write(chunk)) written[at] = (written[at] ?? 0) + 1
      }
      socket.on('drain', fill)
      socket.once('data', (first) => (first.toString() === 'flood' ? fill() : socket.end(first)))
    },
  })
  const paused = tunnel.open()
  paused.on('error', () => {})
  paused.write('flood')
  const settled = async () => {
    for (let before = -1; before !== written[0]; ) {
      before = written[0] ?? 0
      await sleep(300)
    }
    return (written[0] ?? 0) * 64 * 1024
  }
  // What the kernel buffers for the connection behind the tunnel is beyond our control.
  assert.ok((await settled()) < 16 * 1024 * 1024)
  const other = tunnel.open()
  assert.equal((await exchange(other, Buffer.from('quick'))).toString(), 'quick')
  paused.destroy()
})

test('streams that nobody reads leave the others enough', async (t) => {
  let connections = 0
  const { tunnel } = await openTunnelScene(t, {
    serve: (socket) => {
      connections += 1
      if (connections > 3) echo(socket)
      else socket.pause()
    },
  })
  const stuck = [tunnel.open(), tunnel.open(), tunnel.open()]
  for (const stream of stuck) {
    stream.on('error', () => {})
    stream.write(Buffer.alloc(16_000_000))
  }
  await until('they wait', () => assert.equal(connections, 3))
  await sleep(300)
  for (let n = 0; n < 20; n += 1) {
    const bytes = randomBytes(50_000 + n)
    assert.equal(sha256(await exchange(tunnel.open(), bytes, 1000 * n + 500)), sha256(bytes))
  }
  for (const stream of stuck) stream.destroy()
})

test('a slow reader gets every byte', async (t) => {
  const sent = randomBytes(1_500_000)
  const { tunnel } = await openTunnelScene(t, { serve: (socket) => void socket.end(sent) })
  const stream = tunnel.open()
  const parts: Buffer[] = []
  for await (const part of stream) {
    parts.push(part)
    if (parts.length % 8 === 0) await sleep(1)
  }
  stream.end()
  assert.equal(sha256(Buffer.concat(parts)), sha256(sent))
})

test('a connection that the registry resets is reset for the client, and the other way round', async (t) => {
  const { tunnel, dialed } = await openTunnelScene(t, {
    serve: (socket) => socket.once('data', () => socket.resetAndDestroy()),
  })
  const stream = tunnel.open()
  stream.write('x')
  const [error] = await once(stream, 'error')
  assert.ok(error instanceof TunnelError)
  assert.equal(error.code, 'ECONNRESET')

  const other = tunnel.open()
  await until('it is connected', () => assert.ok(dialed[1]?.readyState === 'open'))
  other.destroy()
  await until('the other end is closed too', () => assert.ok(dialed[1]?.destroyed))
})

test('a registry that does not listen breaks the stream, with the reason', async (t) => {
  const scene = await openTunnelScene(t, { serve: echo })
  const nobody = await listenFor(t, () => {})
  const port = portOf(nobody)
  nobody.close()
  const { createTunnelServer } = await import('../../src/tunnel/tunnel.ts')
  const { connect } = await import('node:net')
  const server = createTunnelServer({
    version: '1.0.0',
    registry: () => scene.tunnel.registry,
    dial: () => connect(port, '127.0.0.1'),
    onError: () => {},
  })
  t.after(server.close)
  const links = await listenFor(t, server.accept)
  const tunnel = await openTunnel({ version: '1', connect: () => connectTo(portOf(links)) })
  t.after(() => tunnel.close())
  const stream = tunnel.open()
  stream.write('x')
  await assert.rejects(once(stream, 'end'), /ECONNREFUSED/)
})

test('while the registry stops, streams go on, new ones wait, and end with the session', async (t) => {
  const { tunnel, server, dialed } = await openTunnelScene(t, { serve: echo })
  const stream = tunnel.open()
  const answered = async (text: string) => {
    stream.write(text)
    assert.equal(String(await once(stream, 'data')), text)
  }
  await answered('before')
  server.drain()
  const late = tunnel.open()
  late.write('late')
  await answered('after')
  assert.equal(dialed.length, 1)
  const ended = Promise.all([
    assert.rejects(once(stream, 'data')),
    assert.rejects(once(late, 'data')),
  ])
  server.close()
  await ended
})

test('streams above the limit wait until another one is closed', async (t) => {
  const { tunnel } = await openTunnelScene(t, { serve: echo })
  const open = Array.from({ length: maxStreams }, () => tunnel.open())
  for (const stream of open) stream.on('error', () => {})
  const further = exchange(tunnel.open(), Buffer.from('further'))
  const early = await Promise.race([further, sleep(200, undefined)])
  assert.equal(early, undefined)
  open[0]?.destroy()
  assert.equal((await further).toString(), 'further')
  for (const stream of open) stream.destroy()
})

test('a link that is silent is replaced, and the session goes on', async (t) => {
  const keepAlive = { interval: 50, timeout: 400 }
  const { tunnel, proxy, states } = await openTunnelScene(t, { serve: echo, keepAlive })
  const stream = tunnel.open()
  stream.write('before')
  assert.equal(String((await once(stream, 'data'))[0]), 'before')
  await sleep(600)
  assert.equal(states.length, 1, 'pings keep an idle link')
  proxy.stall()
  stream.write('after')
  assert.equal(String((await once(stream, 'data'))[0]), 'after')
  assert.match(String(states.find((state) => state.kind === 'broken')?.reason), /no answer for/)
  stream.destroy()
})

test('a session that nobody continues ends, and its streams with it', async (t) => {
  const { tunnel, proxy, server, states } = await openTunnelScene(t, {
    serve: echo,
    serverOutage: 50,
  })
  const stream = tunnel.open()
  stream.write('x')
  await once(stream, 'data')
  proxy.refuse()
  proxy.cut()
  await until('it has expired', () => assert.equal(server.sessions(), 0))
  const broken = once(stream, 'error')
  proxy.restore()
  assert.match(String((await broken)[0]), /lost the connection/)
  assert.equal((await exchange(tunnel.open(), Buffer.from('new'))).toString(), 'new')
  assert.deepEqual(states.at(-1), { kind: 'connected', isResumed: false })
})

test('it gives up after the longest outage', async (t) => {
  const { tunnel, proxy } = await openTunnelScene(t, { serve: echo, maxOutage: 100 })
  const stream = tunnel.open()
  const broken = once(stream, 'error')
  proxy.refuse()
  proxy.cut()
  assert.ok((await tunnel.closed) instanceof Error)
  await broken
})

test('an error that is final is not tried again', async () => {
  let attempts = 0
  const connect = async () => {
    attempts += 1
    throw new TunnelError('the container has no berth', { isFinal: true })
  }
  await assert.rejects(openTunnel({ version: '1', connect, pauses: quickPauses }), /has no berth/)
  assert.equal(attempts, 1)
})

test('another protocol is refused, naming both versions', async (t) => {
  const other = await listenFor(t, (socket) => {
    const hello = {
      ...{ protocol: 99, version: '9.9.9', session: 's', isResumed: false, received: 0 },
      registry: { scheme: 'http', hosted: [] },
    }
    socket.write(encodeFrame('hello', 0, Buffer.from(JSON.stringify(hello))))
  })
  const connect = () => connectTo(portOf(other))
  await assert.rejects(openTunnel({ version: '1.0.0', connect }), /9\.9\.9.*1\.0\.0/)

  const { proxy } = await openTunnelScene(t, { serve: echo, serverVersion: '1.2.3' })
  const client = await connectTo(proxy.port)
  const hello = { protocol: 99, version: '9.9.9', received: 0 }
  client.write(encodeFrame('hello', 0, Buffer.from(JSON.stringify(hello))))
  assert.match((await buffer(client)).toString(), /1\.2\.3.*9\.9\.9/)
})

test('something else than berth pipe is told from it', async (t) => {
  const shell = await listenFor(t, (socket) => void socket.end('sh: 1: berth: not found\n'))
  const connect = () => connectTo(portOf(shell))
  await assert.rejects(openTunnel({ version: '1', connect }), /unknown frame/)
})

test('a client that sends more than it may is cut off, and its session ends', async (t) => {
  const { proxy, server, violations } = await openTunnelScene(t, { serve: () => {} })
  const client = await connectTo(proxy.port)
  const hello = { protocol: 1, version: '1', received: 0 }
  client.write(encodeFrame('hello', 0, Buffer.from(JSON.stringify(hello))))
  await until('there are two sessions', () => assert.equal(server.sessions(), 2))
  client.write(encodeFrame('open', 1))
  const data = encodeFrame('data', 1, Buffer.alloc(32 * 1024))
  for (let n = 0; n < 800; n += 1) client.write(data)
  await until('its session has ended', () => assert.equal(server.sessions(), 1))
  assert.match(String(violations[0]), /more than stream 1 may hold/)
})

test('a client that acknowledges what was never sent is cut off', async (t) => {
  const { proxy, server, violations } = await openTunnelScene(t, { serve: () => {} })
  const client = await connectTo(proxy.port)
  const hello = { protocol: 1, version: '1', received: 0 }
  client.write(encodeFrame('hello', 0, Buffer.from(JSON.stringify(hello))))
  client.write(encodeNumber('acknowledgement', 0, 12))
  await until('it is noticed', () => assert.equal(violations.length, 1))
  assert.equal(server.sessions(), 1, 'only the other one is left')
})

test('a session without memory is refused, and the client waits', async (t) => {
  const scene = await openTunnelScene(t, { serve: echo })
  const { createTunnelServer } = await import('../../src/tunnel/tunnel.ts')
  const server = createTunnelServer({
    version: '1',
    registry: () => scene.tunnel.registry,
    dial: () => scene.tunnel.open(),
    reserve: () => undefined,
    onError: () => {},
  })
  const links = await listenFor(t, server.accept)
  const connect = () => connectTo(portOf(links))
  await assert.rejects(openTunnel({ version: '1', connect, pauses: quickPauses }), /no memory/)
})

test('a session takes memory while bytes flow, gives it back, and is slow but right without it', async (t) => {
  let used = 0
  let most = 0
  let max = Infinity
  const reserve = (bytes: number) => {
    if (used + bytes > max) return undefined
    used += bytes
    most = Math.max(most, used)
    return () => {
      used -= bytes
    }
  }
  const { tunnel } = await openTunnelScene(t, { serve: echo, reserve })
  const idle = used
  const bytes = randomBytes(20_000_000)
  assert.equal(sha256(await exchange(tunnel.open(), bytes)), sha256(bytes))
  assert.ok(most > idle, 'it grew')
  await until('it has shrunk', () => assert.equal(used, idle))
  max = idle
  assert.equal(sha256(await exchange(tunnel.open(), bytes)), sha256(bytes))
  assert.equal(used, idle)
})

test('200 clients at once are all served, though some vanish', async (t) => {
  const { tunnel, server, dialed } = await openTunnelScene(t, { serve: echo })
  const local = await listenFor(t, (socket) => joinStreams(socket, tunnel.open()))
  const bytes = randomBytes(100_000)
  const client = async (n: number) => {
    const socket = await connectTo(portOf(local))
    if (n % 4 !== 0) return sha256(await exchange(socket, bytes))
    socket.write(bytes.subarray(0, 1000 * n))
    await once(socket, 'data')
    socket.resetAndDestroy()
    return undefined
  }
  const all = await Promise.all(Array.from({ length: 200 }, (_, n) => client(n + 1)))
  assert.equal(all.filter((one) => one === sha256(bytes)).length, 150)
  await until('no connection is left', () => assert.ok(dialed.every((one) => one.destroyed)))
  assert.equal(server.sessions(), 1)
  assert.equal(sha256(await exchange(tunnel.open(), bytes)), sha256(bytes))
})

// What version 1.0 of the protocol says, which newer ends must understand.
test('an older client, which acknowledges at the end and knows no other field, is served', async (t) => {
  const { proxy } = await openTunnelScene(t, { serve: echo })
  const client = await connectTo(proxy.port)
  const hello = { protocol: 1, version: '0.0.1', received: 0 }
  client.write(encodeFrame('hello', 0, Buffer.from(JSON.stringify(hello))))
  const frames: string[] = []
  const parse = createFrameParser((frame) => {
    frames.push(`${frame.type} ${frame.type === 'hello' ? '' : payloadOf(frame)}`.trim())
  })
  client.on('data', parse)
  client.write(encodeFrame('open', 1))
  client.write(encodeFrame('data', 1, Buffer.from('bytes')))
  client.write(encodeFrame('end', 1))
  await until('it ends', () => assert.ok(frames.includes('end')))
  assert.deepEqual(
    frames.filter((one) => /^(hello|data|end)/.test(one)),
    ['hello', 'data bytes', 'end'],
  )
  client.write(encodeFrame('bye', 0))
})

test('an unknown field of a newer hello is ignored on both ends', async (t) => {
  const newer = await listenFor(t, (socket) => {
    const hello = {
      ...{ protocol: 1, version: '9.9.9', session: 's', isResumed: false, received: 0 },
      ...{ registry: { scheme: 'http', hosted: [], more: 1 }, more: true },
    }
    socket.write(encodeFrame('hello', 0, Buffer.from(JSON.stringify(hello))))
  })
  const tunnel = await openTunnel({ version: '1', connect: () => connectTo(portOf(newer)) })
  assert.equal(tunnel.version, '9.9.9')
  await tunnel.close()
  const { proxy, server } = await openTunnelScene(t, { serve: echo })
  const client = await connectTo(proxy.port)
  const hello = { protocol: 1, version: '9.9.9', received: 0, more: [1] }
  client.write(encodeFrame('hello', 0, Buffer.from(JSON.stringify(hello))))
  await until('it has a session', () => assert.equal(server.sessions(), 2))
})

test('whatever frames a client sends, others are served and nothing of it is left', async (t) => {
  const { tunnel, proxy, server } = await openTunnelScene(t, { serve: echo, serverOutage: 20 })
  const types = [
    'hello',
    'acknowledgement',
    'ping',
    'open',
    'data',
    'credit',
    'end',
    'reset',
  ] as const
  const frames = fc.array(
    fc.record({
      type: fc.constantFrom(...types),
      stream: fc.nat(5),
      payload: fc.oneof(
        fc.uint8Array({ maxLength: 12 }),
        fc.uint8Array({ minLength: 6, maxLength: 6 }),
      ),
    }),
    { maxLength: 40 },
  )
  const hello = Buffer.from(JSON.stringify({ protocol: 1, version: '1', received: 0 }))
  await fc.assert(
    fc.asyncProperty(frames, fc.boolean(), async (all, isGreeted) => {
      const client = await connectTo(proxy.port)
      client.resume()
      if (isGreeted) client.write(encodeFrame('hello', 0, hello))
      for (const { type, stream, payload } of all) client.write(encodeFrame(type, stream, payload))
      client.end()
      await once(client, 'close')
    }),
    { numRuns: 200 },
  )
  await until('only the other session is left', () => assert.equal(server.sessions(), 1))
  const bytes = randomBytes(50_000)
  assert.equal(sha256(await exchange(tunnel.open(), bytes)), sha256(bytes))
})

test('a stream for which there is no memory is refused, and the others go on', async (t) => {
  let isFull = false
  const reserve = () => (isFull ? undefined : () => {})
  const { tunnel } = await openTunnelScene(t, { serve: echo, reserve })
  isFull = true
  const open = Array.from({ length: 100 }, () => tunnel.open())
  const answers = await Promise.all(
    open.map(async (stream) => {
      const answer = once(stream, 'data').catch((error: Error) => error.message)
      stream.write('x')
      return String(await answer)
    }),
  )
  const refused = answers.filter((one) => /no memory for another connection/.test(one))
  assert.ok(refused.length > 0 && refused.length < 100, `${refused.length} of 100`)
  assert.equal(answers.filter((one) => one === 'x').length, 100 - refused.length)
  for (const stream of open) stream.destroy()
  isFull = false
  assert.equal((await exchange(tunnel.open(), Buffer.from('later'))).toString(), 'later')
})
