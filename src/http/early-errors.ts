import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { errorBody, RegistryError } from '../oci/errors.ts'

/** How long a client may take to read an error that is written to its socket, in milliseconds. */
const maxErrorReadTime = 1000

/** 503 for a request that the service has no room for; closes the connection. */
export function sendUnavailable(response: ServerResponse, message: string): void {
  const error = new RegistryError('UNAVAILABLE', { message, advice: 'retry' })
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
 * Answers a request that Node cannot parse, also when it is no HTTP: containerd, which tries TLS first on
 * `localhost:PORT`, falls back to plain HTTP only if the response begins with `HTTP/` (containerd,
 * `docker/resolver.go`, HTTPFallback).
 */
export function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const [status, message] = problemOf(error.code)
  answerRaw(socket, new RegistryError('UNSUPPORTED', { status, message }))
}

function problemOf(code: string | undefined): readonly [status: number, message: string] {
  if (code === 'HPE_HEADER_OVERFLOW') return [431, 'the request headers are too large']
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return [408, 'the request was not complete in time']
  return [400, 'the request is not valid HTTP/1.1']
}

/** Writes an error response to a socket that has no ServerResponse, and closes it. */
export function answerRaw(socket: Duplex, error: RegistryError): void {
  const body = errorBody(error)
  const head = [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}`,
    'Connection: close',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]
  socket.on('error', () => {})
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  // Closing a socket with unread bytes resets it, and a reset may discard the response.
  socket.resume()
  setTimeout(() => socket.destroy(), maxErrorReadTime).unref()
}
