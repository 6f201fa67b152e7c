import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http'
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { KeyPair } from './key-pair.ts'

/** In milliseconds. */
export type Timeouts = {
  /**
   * From the connection, or the first byte of a request, to the end of the headers; also for a TLS
   * handshake.
   */
  readonly headers: number
  /** To the end of a request body that no handler reads. */
  readonly request: number
  /** Between two requests of a connection. */
  readonly keepAlive: number
  /** How long a client may read nothing of a response. */
  readonly idle: number
}

export const defaultTimeouts = {
  headers: 10_000,
  request: 60_000,
  keepAlive: 75_000,
  idle: 300_000,
} as const satisfies Timeouts
/** Idle time until TCP keep-alive probes a half-closed connection, in milliseconds. */
const halfClosedProbeDelay = 5000
/**
 * In bytes. An Authorization header of 16 kB must get its 401; slow headers are kept in memory for each
 * connection.
 */
const maxHeaderSize = 24 * 1024

export type ListeningServer = Server | HttpsServer

type ServerOptions = {
  readonly tls?: KeyPair | undefined
  readonly timeouts?: Partial<Timeouts> | undefined
}

/** One of Node's servers, for HTTP or HTTPS, with our limits. */
export function createListeningServer(
  handler: RequestListener,
  { tls, timeouts }: ServerOptions,
): ListeningServer {
  const { headers, keepAlive, idle } = { ...defaultTimeouts, ...timeouts }
  const limits = {
    headersTimeout: headers,
    // It has no exceptions, and an upload may take hours (`limitUnreadBody`, `createRequestBodies`).
    requestTimeout: 0,
    keepAliveTimeout: keepAlive,
    maxHeaderSize,
    connectionsCheckingInterval: Math.min(5000, headers),
    // `http/server` checks it, and responds in the format of the API.
    requireHostHeader: false,
    noDelay: true,
  }
  const server =
    tls === undefined
      ? createHttpServer(limits, handler)
      : createHttpsServer({ ...limits, handshakeTimeout: headers, ...tlsOptions(tls) }, handler)
  server.timeout = idle
  // Node does not notice a reset of a half-open TLS connection.
  if (tls === undefined) allowHalfClosed(server)
  return server
}

/**
 * A client may close its sending half after its request and still read the response. A client that has
 * disconnected looks the same until something is sent to it, so TCP keep-alive probes it.
 */
function allowHalfClosed(server: ListeningServer): void {
  // Undocumented; without it Node closes its own half at once (_http_server.js).
  Object.assign(server, { httpAllowHalfOpen: true })
  server.on('connection', (socket: Socket) => {
    socket.once('end', () => socket.setKeepAlive(true, halfClosedProbeDelay))
  })
}

export function tlsOptions({ certificate, key }: KeyPair) {
  return { cert: certificate, key, minVersion: 'TLSv1.2' } as const
}

type Address = {
  /** Empty for all addresses. */
  readonly host: string
  readonly port: number
  /** Undefined instead of an error when the system has no such address, as without IPv6. */
  readonly isOptional: boolean
}

export async function openServer(
  server: ListeningServer,
  { host, port, isOptional }: Address,
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
  if (address === null || typeof address === 'string')
    throw new Error(`cannot listen on ${host}: the address has no port`)
  return address
}

export function closeServer(server: ListeningServer): Promise<void> {
  const closed = Promise.withResolvers<void>()
  if (!server.listening) return Promise.resolve()
  server.close(() => closed.resolve())
  return closed.promise
}
