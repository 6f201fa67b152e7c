import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { KeyPair } from './certificates.ts'

/** A received request, kept for tests. */
export type Recorded = {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** The body as it came. */
  readonly bytes: Buffer
  /** Undefined until it was answered. */
  status?: number
}

export type Handler = (request: Recorded, response: ServerResponse) => void | Promise<void>

/** A real HTTP or HTTPS server that represents a cloud service. */
export interface FakeServer {
  readonly url: string
  readonly port: number
  /** `host:port`. */
  readonly host: string
  readonly requests: readonly Recorded[]
  /** Numbers of connections. */
  readonly connections: { readonly opened: number; readonly open: number }
  /** Requests whose line, `GET /v2/…`, matches. */
  count(line: RegExp): number
  /** Milliseconds before each answer begins, from now on. */
  delay(milliseconds: number): void
  /** Ends all connections and listens no more, until `start`. */
  stop(): Promise<void>
  start(): Promise<void>
}

type FakeServerOptions = {
  readonly tls?: KeyPair | undefined
  /** Where it listens. */
  readonly address?: string | undefined
  /** Default: any free port. */
  readonly port?: number | undefined
}

export async function startFakeServer(
  handler: Handler,
  { tls, address: at = '127.0.0.1', port: wanted = 0 }: FakeServerOptions = {},
): Promise<FakeServer> {
  const requests: Recorded[] = []
  const sockets = new Set<Socket>()
  const connections = { opened: 0, open: 0 }
  let latency = 0
  const server =
    tls === undefined ? createServer() : createTlsServer({ cert: tls.certificate, key: tls.key })

  server.on('request', async (incoming, response) => {
    const { method = '', url: path = '', headers } = incoming
    const bytes = await buffer(incoming).catch(() => Buffer.alloc(0))
    const request: Recorded = { method, path, headers, bytes, body: bytes.toString() }
    requests.push(request)
    response.on('error', () => {})
    if (latency > 0) await sleep(latency)
    await handler(request, response)
    request.status = response.statusCode
  })
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    connections.opened += 1
    connections.open += 1
    socket.on('close', () => {
      sockets.delete(socket)
      connections.open -= 1
    })
    socket.on('error', () => {})
  })

  const listen = (port: number): Promise<void> => {
    const listening = Promise.withResolvers<void>()
    server.once('error', listening.reject)
    server.listen(port, at, listening.resolve)
    return listening.promise
  }
  await listen(wanted)
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const host = `${at}:${port}`

  return {
    url: `${tls === undefined ? 'http' : 'https'}://${host}`,
    port,
    host,
    requests,
    connections,
    count: (line) => requests.filter(({ method, path }) => line.test(`${method} ${path}`)).length,
    delay: (milliseconds) => {
      latency = milliseconds
    },
    stop: async () => {
      if (!server.listening) return
      const closed = Promise.withResolvers<void>()
      server.close(() => closed.resolve())
      for (const socket of sockets) socket.destroy()
      await closed.promise
    },
    start: () => listen(port),
  }
}

/** A whole answer. */
export function answer(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>> = {},
  body: Buffer | string = '',
): void {
  const length = String(Buffer.byteLength(body))
  response.writeHead(status, { 'content-length': length, ...headers }).end(body)
}

export function answerJson(response: ServerResponse, status: number, value: unknown): void {
  answer(response, status, { 'content-type': 'application/json' }, JSON.stringify(value))
}

/** `rate`: bytes per second of a body; unlimited without it. */
type Pace = { readonly rate?: number | undefined }

/** Bytes, or the part that `Range: bytes=N-` or `bytes=N-M` requests. */
export function answerBytes(
  request: Recorded,
  response: ServerResponse,
  bytes: Buffer,
  { rate }: Pace = {},
): void | Promise<void> {
  const send = rate === undefined ? answer : answerAt(rate)
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
  const type = { 'content-type': 'application/octet-stream', 'accept-ranges': 'bytes' }
  if (from === undefined) return send(response, 200, type, bytes)
  const first = Number(from)
  const last = Math.min(to ? Number(to) : bytes.length - 1, bytes.length - 1)
  if (first > last) return answer(response, 416, { 'content-range': `bytes */${bytes.length}` })
  const range = { 'content-range': `bytes ${first}-${last}/${bytes.length}` }
  return send(response, 206, { ...type, ...range }, bytes.subarray(first, last + 1))
}

type AnswerBody = (
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: Buffer,
) => Promise<void>

function answerAt(rate: number): AnswerBody {
  const between = 25
  const size = Math.ceil((rate * between) / 1000)
  return async (response, status, headers, body) => {
    response.writeHead(status, { 'content-length': String(body.length), ...headers })
    const begun = performance.now()
    const pieces = async function* () {
      for (let at = 0; at < body.length; at += size) {
        yield body.subarray(at, at + size)
        await sleep(Math.max(0, begun + ((at + size) / rate) * 1000 - performance.now()))
      }
    }
    await pipeline(Readable.from(pieces()), response).catch(() => {})
  }
}
