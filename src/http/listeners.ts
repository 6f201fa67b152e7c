import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { maxOpenFiles, type Reservations, surplusWithin } from '../memory/memory.ts'
import { RegistryError } from '../oci/errors.ts'
import { type Connections, createConnections } from './connections.ts'
import { expectContinue } from './continue.ts'
import { answerClientError, answerRaw, sendUnavailable } from './early-errors.ts'
import type { KeyPair } from './key-pair.ts'
import {
  closeServer,
  createListeningServer,
  defaultTimeouts,
  type ListeningServer,
  openServer,
  type Timeouts,
  tlsOptions,
} from './listening-server.ts'
import { createPipeline } from './pipeline.ts'
import { limitUnreadBody } from './unread-body.ts'

/** One service that listens on one or more addresses. */
export interface Listeners {
  readonly addresses: readonly AddressInfo[]
  /** Sets the key pair for new connections. */
  setKeyPair(pair: KeyPair): void
  /** Whether it accepts connections: once all addresses are open, and until it is closed. */
  isListening(): boolean
  /** From now on each response closes its connection, so that clients connect to another replica. */
  drain(): void
  /**
   * Accepts no more connections. Resolves when all responses are complete; after `gracePeriod`, in
   * milliseconds, it closes the connections of the others.
   */
  close(gracePeriod: number): Promise<void>
}

type ListenersOptions = {
  readonly handler: RequestListener
  readonly hosts: readonly string[]
  readonly port: number
  readonly tls?: KeyPair | undefined
  /**
   * Concurrent connections. Above the limit, the connection that has been idle longest is closed; if
   * none is idle, new ones get 503.
   */
  readonly maxConnections: number
  /** Memory for connections; when it is used up, they are closed as above `maxConnections`. */
  readonly connectionMemory?: Reservations
  /** Requests that are answered on connections above the limit too. */
  readonly isServedAboveLimit?: (request: IncomingMessage) => boolean
  /** Memory for requests; when it is used up, they get 503. */
  readonly memory?: Reservations
  /** Replace the default ones. */
  readonly timeouts?: Partial<Timeouts>
}

/** Bytes of memory that an idle connection takes, as measured. */
const connectionSize = { plain: 24 * 1024, tls: 80 * 1024 } as const
/** Bytes that a pending request takes, besides its headers. */
const baseRequestMemory = 16 * 1024
/** Connections above the limit that get 503; further ones are closed at once. */
const maxSurplus = 256

export async function listen(options: ListenersOptions): Promise<Listeners> {
  const connections = createConnections({
    maxConnections: options.maxConnections,
    maxSurplus: surplusWithin(maxOpenFiles(), maxSurplus),
    memory: options.connectionMemory,
    size: options.tls === undefined ? connectionSize.plain : connectionSize.tls,
  })
  let isDraining = false
  const handler = createHandler(options, connections, () => isDraining)
  const servers = options.hosts.map(() => createListeningServer(handler, options))
  for (const server of servers) {
    if (options.tls !== undefined) server.on('secureConnection', connections.secure)
    connect(server, connections, handler)
  }
  const addresses = await openAll(servers, options)

  return {
    addresses,
    setKeyPair: (pair) => {
      for (const server of servers)
        if ('setSecureContext' in server) server.setSecureContext(tlsOptions(pair))
    },
    isListening: () => servers.some(({ listening }) => listening),
    drain: () => {
      isDraining = true
      connections.closeIdle()
    },
    close: async (gracePeriod) => {
      isDraining = true
      const timer = setTimeout(connections.destroyAll, gracePeriod)
      await Promise.all(servers.map(closeServer))
      clearTimeout(timer)
    },
  }
}

/** Applies the limits of the service to each request before it reaches the handler. */
function createHandler(
  { handler, isServedAboveLimit = () => false, memory, timeouts }: ListenersOptions,
  connections: Connections,
  isDraining: () => boolean,
): RequestListener {
  const pipeline = createPipeline()
  const { request: timeout } = { ...defaultTimeouts, ...timeouts }
  return (request, response) => {
    const { socket } = request
    // Node parses requests that follow in the same read, though the socket is destroyed, or ended with an error.
    if (socket.destroyed || socket.writableEnded) return
    if (hasFaultyFraming(request)) return refuse(socket, connections)
    if (!pipeline.admit(socket)) return void socket.destroy()
    connections.begin(socket, response)
    limitUnreadBody(request, response, { timeout })
    if (isDraining()) response.setHeader('connection', 'close')
    const release = memory?.reserve(memoryOf(request))
    // One listener for all: each costs as much as some of the headers.
    response.on('close', () => {
      release?.()
      pipeline.finish(socket)
      connections.finish(socket)
      // A response that began before draining has no `Connection: close`.
      if (isDraining()) connections.closeIdle()
    })
    if (connections.isSurplus(socket) && !isServedAboveLimit(request))
      return sendUnavailable(response, 'too many concurrent connections')
    if (memory !== undefined && release === undefined)
      return sendUnavailable(response, 'too many concurrent requests')
    handler(request, response)
  }
}

function connect(server: ListeningServer, connections: Connections, handler: RequestListener) {
  server.on('connection', connections.accept)
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) =>
    refuse(socket, connections, error),
  )
  server.on('checkExpectation', handler)
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    expectContinue(response)
    handler(request, response)
  })
  server.on('connect', (_request: IncomingMessage, socket: Duplex) =>
    answerRaw(socket, new RegistryError('UNSUPPORTED', { message: 'CONNECT is not supported' })),
  )
  // Node's own method, which `close` calls too, closes connections whose response is ended but not yet
  // read by the client.
  server.closeIdleConnections = connections.closeIdle
}

async function openAll(
  servers: readonly ListeningServer[],
  { hosts, port }: ListenersOptions,
): Promise<readonly AddressInfo[]> {
  const addresses: AddressInfo[] = []
  try {
    for (const [at, server] of servers.entries()) {
      const address = await openServer(server, {
        host: hosts[at] ?? '',
        // Port 0 is the same free port on every address.
        port: port === 0 ? (addresses[0]?.port ?? 0) : port,
        isOptional: addresses.length > 0,
      })
      if (address !== undefined) addresses.push(address)
    }
  } catch (error) {
    await Promise.all(servers.map(closeServer))
    throw error
  }
  return addresses
}

/** An error would be taken for a part of the response that is being sent. */
function refuse(
  socket: Duplex,
  connections: Connections,
  error: NodeJS.ErrnoException = new Error('faulty framing'),
): void {
  if (connections.isAnswering(socket)) socket.destroy()
  else answerClientError(error, socket)
}

/**
 * The danger: HTTP/1.0 has no transfer codings, so a proxy of that version in front takes the chunks for the next request
 * (RFC 9112, section 6.1).
 */
function hasFaultyFraming({ httpVersion, headers }: IncomingMessage): boolean {
  return httpVersion === '1.0' && headers['transfer-encoding'] !== undefined
}

/** Bytes that a request takes until its response: its text twice, and a fixed amount. */
function memoryOf({ rawHeaders, url = '' }: IncomingMessage): number {
  let length = url.length
  for (const text of rawHeaders) length += text.length
  return baseRequestMemory + 2 * length
}
