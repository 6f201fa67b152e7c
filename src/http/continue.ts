import type { IncomingMessage, ServerResponse } from 'node:http'

/**
 * Requests with `Expect: 100-continue` (RFC 9110, section 10.1.1): their clients send the body once they
 * are asked for it, so that a denied upload costs no transfer.
 *
 * 1. Without the request for the body, the response closes the connection: whether the client sends the
 *    body nevertheless is unknown.
 * 2. When a handler reads the body, `100 Continue` is sent, and the connection is kept.
 */
export function expectContinue(response: ServerResponse): void {
  if (response.getHeader('connection') === undefined) response.setHeader('connection', 'close')
}

/** Asks for the body, if the client waits for that. */
export function sendContinue({ headers }: IncomingMessage, response: ServerResponse): void {
  if (headers.expect?.toLowerCase() !== '100-continue') return
  response.removeHeader('connection')
  response.writeContinue()
}
