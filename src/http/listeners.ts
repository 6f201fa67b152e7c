import {
  createServer as createHttpServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http'
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Reservations } from '../memory/memory.ts'
import { errorBody, RegistryError } from '../oci/errors.ts'
import { createConnections } from './connections.ts'
import type { KeyPair } from './key-pair.ts'
import { createPipeline } from './pipeline.ts'

/** One listening service, on one or more addresses. */
export interface Listeners {
  readonly addresses: readonly AddressInfo[]
  /** The key pair for connections from now on. */
  setKeyPair(pair: KeyPair): void
  /** Whether it accepts connections: not before all addresses are open, nor once it is closed. */
  isListening(): boolean
  /** Answers from now on end their connection, so that clients look for another replica. */
  drain(): void
  /**
   * Accepts nothing more; resolves when all answers are given, or at the deadline, in milliseconds,
   * when the rest is cut off.
   */
  close(gracePeriod: number): Promise<void>
}

type ListenersOptions = {
  readonly handler: RequestListener
  readonly hosts: readonly string[]
  readonly port: number
  readonly tls?: KeyPair | undefined
  /**
   * Connections at the same time. Beyond, idle ones are closed, the longest idle first; where none is,
   * new ones get 503.
   */
  readonly maxConnections: number
  /** What connections take their memory from; beyond it they give way as beyond `maxConnections`. */
  readonly connectionMemory?: Reservations
  /** Requests that are answered on connections beyond the limit too. */
  readonly isServedAboveLimit?: (request: IncomingMessage) => boolean
  /** What requests take their memory from; beyond it they get 503. */
  readonly memory?: Reservations
  /** Instead of the default ones. */
  readonly timeouts?: Partial<Timeouts>
}

/** In milliseconds. */
type Timeouts = {
  /**
   * From a connection, or the first byte of a request, to the end of its headers; and for all of a
   * TLS handshake.
   */
  readonly headers: number
  /** To the end of its body, which nothing here takes. */
  readonly request: number
  /** Between two requests. */
  readonly keepAlive: number
  /** In which a client takes nothing of an answer. */
  readonly idle: number
}

const defaultTimeouts = {
  headers: 10_000,
  request: 60_000,
  keepAlive: 75_000,
  idle: 300_000,
} as const satisfies Timeouts
/** How long a client may take to read that it was not understood. */
const maxErrorReadTime = 1000
/** Silence after which a half-closed connection is probed, in milliseconds. */
const halfClosedProbe = 5000
/** Bytes of a connection that is idle, as measured. */
const connectionSize = { plain: 24 * 1024, tls: 80 * 1024 } as const
/** Bytes of a request that waits, beside its headers. */
const baseRequestMemory = 16 * 1024
/** Connections beyond the limit that get 503; yet more are closed at once. */
const maxSurplus = 256
/**
 * In bytes: an Authorization header of 16 kB must get its 401, and what comes slowly is kept for each
 * connection.
 */
const maxHeaderSize = 24 * 1024

export async function listen(options: ListenersOptions): Promise<Listeners> {
  const { maxConnections, isServedAboveLimit = () => false } = options
  const connections = createConnections({
    maxConnections,
    maxSurplus,
    memory: options.connectionMemory,
    size: options.tls === undefined ? connectionSize.plain : connectionSize.tls,
  })
  const pipeline = createPipeline()
  let draining = false

  const handler: RequestListener = (request, response) => {
    const { socket } = request
    // What follows in the same read is parsed even so, and answered to nobody.
    if (socket.destroyed) return
    if (!pipeline.admit(socket, response)) return void socket.destroy()
    connections.begin(socket, response)
    if (draining) response.setHeader('connection', 'close')
    // Begun before we were to stop, so that its client was not told that this is the last one.
    response.once('close', () => {
      if (draining) connections.closeIdle()
    })
    if (connections.isSurplus(socket) && !isServedAboveLimit(request))
      return sendUnavailable(response, 'too many connections; try again')
    if (options.memory !== undefined) {
      const release = options.memory.reserve(memoryOf(request))
      if (release === undefined)
        return sendUnavailable(response, 'too many requests at once; try again')
      response.once('close', release)
    }
    options.handler(request, response)
  }

  const servers = options.hosts.map(() => createServer(handler, options))
  for (const server of servers) {
    server.on('connection', connections.accept)
    if (options.tls !== undefined) server.on('secureConnection', connections.secure)
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      if (connections.isAnswering(socket)) socket.destroy()
      else answerClientError(error, socket)
    })
    server.on('checkExpectation', handler)
    server.on('connect', (_request: IncomingMessage, socket: Duplex) =>
      answerRaw(socket, new RegistryError('UNSUPPORTED')),
    )
    // Node's own, which it calls when a server closes as well, takes an answer for given once it is
    // ended, and would cut off what its client has not taken yet.
    server.closeIdleConnections = connections.closeIdle
  }

  const addresses: AddressInfo[] = []
  try {
    for (const [at, server] of servers.entries()) {
      // Port 0 is the same free port on every address.
      const port = options.port === 0 ? (addresses[0]?.port ?? 0) : options.port
      const address = await open(server, options.hosts[at] ?? '', port, addresses.length > 0)
      if (address !== undefined) addresses.push(address)
    }
  } catch (error) {
    await Promise.all(servers.map(closeServer))
    throw error
  }

  return {
    addresses,
    setKeyPair: (pair) => {
      for (const server of servers)
        if ('setSecureContext' in server) server.setSecureContext(contextOf(pair))
    },
    isListening: () => servers.some(({ listening }) => listening),
    drain: () => {
      draining = true
      connections.closeIdle()
    },
    close: async (gracePeriod) => {
      draining = true
      const timer = setTimeout(connections.destroyAll, gracePeriod)
      await Promise.all(servers.map(closeServer))
      clearTimeout(timer)
    },
  }
}

function createServer(
  handler: RequestListener,
  { tls, timeouts }: ListenersOptions,
): Server | HttpsServer {
  const { headers, request, keepAlive, idle } = { ...defaultTimeouts, ...timeouts }
  const limits = {
    headersTimeout: headers,
    requestTimeout: request,
    keepAliveTimeout: keepAlive,
    maxHeaderSize,
    connectionsCheckingInterval: Math.min(5000, headers),
    // Whether there is one is looked at with all other requests, and answered as they are.
    requireHostHeader: false,
    noDelay: true,
  }
  const server =
    tls === undefined
      ? createHttpServer(limits, handler)
      : createHttpsServer({ ...limits, handshakeTimeout: headers, ...contextOf(tls) }, handler)
  server.timeout = idle
  // Node does not notice that a half-open TLS connection was reset.
  if (tls === undefined) answerHalfClosed(server)
  return server
}

/**
 * A client may close its sending half after its request and still read the answer. One that has left
 * looks the same until something is sent to it: TCP's own probes find that out while nothing is.
 */
function answerHalfClosed(server: Server | HttpsServer): void {
  // Not in Node's documentation; without it Node ends its own half at once (_http_server.js).
  Object.assign(server, { httpAllowHalfOpen: true })
  server.on('connection', (socket: Socket) => {
    socket.once('end', () => socket.setKeepAlive(true, halfClosedProbe))
  })
}

function contextOf({ certificate, key }: KeyPair) {
  return { cert: certificate, key, minVersion: 'TLSv1.2' } as const
}

/**
 * Undefined where the system has no such address (IPv6 is off) and there is `isOptional` that it has.
 */
async function open(
  server: Server | HttpsServer,
  host: string,
  port: number,
  isOptional: boolean,
): Promise<AddressInfo | undefined> {
  const opened = Promise.withResolvers<void>()
  server.once('error', opened.reject)
  server.listen({ port, backlog: 4096, ...(host !== '' && { host }) }, opened.resolve)
  try {
    await opened.promise
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : ''
    if (isOptional && (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT')) return undefined
    throw error
  }
  server.off('error', opened.reject)
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error(`${host} has no port`)
  return address
}

function closeServer(server: Server | HttpsServer): Promise<void> {
  const closed = Promise.withResolvers<void>()
  if (!server.listening) return Promise.resolve()
  server.close(() => closed.resolve())
  return closed.promise
}

/** Bytes that a request takes until it is answered: what it says, twice, and all that is made of it. */
function memoryOf({ rawHeaders, url = '' }: IncomingMessage): number {
  const length = rawHeaders.reduce((sum, text) => sum + text.length, url.length)
  return baseRequestMemory + 2 * length
}

function sendUnavailable(response: ServerResponse, message: string): void {
  const error = new RegistryError('UNAVAILABLE', { message })
  const body = errorBody(error)
  response.writeHead(error.status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'retry-after': '1',
    connection: 'close',
  })
  response.end(body)
}

/**
 * What is no HTTP gets an answer that begins with `HTTP/`: a TLS hello is followed by plain HTTP
 * only then, which is how containerd reaches `localhost:PORT` without configuration (containerd,
 * `docker/resolver.go`, HTTPFallback).
 */
function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const status =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? 431
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? 408
        : 400
  answerRaw(
    socket,
    new RegistryError('UNSUPPORTED', { status, message: 'the request is not understood' }),
  )
}

function answerRaw(socket: Duplex, error: RegistryError): void {
  const body = errorBody(error)
  const head = [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}`,
    'Connection: close',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]
  socket.on('error', () => {})
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  // Unread bytes would turn the close into a reset, and a reset takes the answer with it.
  socket.resume()
  setTimeout(() => socket.destroy(), maxErrorReadTime).unref()
}
