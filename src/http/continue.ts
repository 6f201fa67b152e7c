import type { IncomingMessage, ServerResponse } from 'node:http'

/**
 * Requests with `Expect: 100-continue` (RFC 9110, section 10.1.1): their clients send the body once they
 * are asked for it, so that a denied upload costs no transfer.
 *
 * 1. Without the request for the body, the response closes the connection: whether the client sends the
 *    body nevertheless is unknown.
 * 2. When a handler reads the body, `100 Continue` is sent, and the connection is kept, if nothing else closes it.
 */
export function expectContinue(response: ServerResponse): void {
  response.shouldKeepAlive = false
}

/** Asks for the body, if the client waits for that. HTTP/1.0 has no such answers (section 15.2). */
export function sendContinue(request: IncomingMessage, response: ServerResponse): void {
  const { headers, httpVersion } = request
  if (headers.expect?.toLowerCase() !== '100-continue' || httpVersion === '1.0') return
  response.shouldKeepAlive = !/\bclose\b/i.test(headers.connection ?? '')
  response.writeContinue()
}
