import type { IncomingMessage, ServerResponse } from 'node:http'
import { hasBody } from './body-length.ts'

/** In bytes: what a client may have sent before it sees an early response, and more than a manifest. */
const maxDiscarded = 16 * 1024 * 1024
/** In milliseconds, from the end of the response. */
const maxDiscardTime = 5000
const checkInterval = 100

type Limits = {
  /** How long a body that no handler reads may take to arrive, in milliseconds. */
  readonly timeout: number
}

/**
 * Limits bodies that nobody reads, in place of Node's `requestTimeout`, which would end uploads of hours.
 *
 * The danger: closing a socket with unread bytes resets the connection, and a reset discards a response
 * that the client has not read; docker would report a broken pipe instead of the error. So the rest of
 * the body is discarded for a moment after the response.
 */
export function limitUnreadBody(
  request: IncomingMessage,
  response: ServerResponse,
  { timeout }: Limits,
): void {
  if (!hasBody(request)) return
  const destroy = () => request.socket.destroy()
  const timer = setTimeout(() => {
    // A handler that reads it has its own limits.
    if (request.readableFlowing === null) destroy()
  }, timeout)
  response.once('close', () => clearTimeout(timer))

  response.once('finish', () => {
    const { socket } = request
    if (request.complete || socket.destroyed) return
    // Node discards what arrives, without events.
    const maxRead = socket.bytesRead + maxDiscarded
    const deadline = performance.now() + maxDiscardTime
    const watch = setInterval(() => {
      if (socket.bytesRead > maxRead || performance.now() > deadline) destroy()
      if (socket.destroyed) clearInterval(watch)
    }, checkInterval)
    request.once('close', () => clearInterval(watch))
    request.resume()
  })
}
