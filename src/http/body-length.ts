import type { IncomingMessage } from 'node:http'

/** Bytes of the body as announced; undefined with chunked transfer coding. Node has checked the header. */
export function lengthOf({ headers }: IncomingMessage): number | undefined {
  const length = headers['content-length']
  return length === undefined || headers['transfer-encoding'] !== undefined
    ? undefined
    : Number(length)
}

/** RFC 9112, section 6.3. */
export function hasBody(request: IncomingMessage): boolean {
  return request.headers['transfer-encoding'] !== undefined || (lengthOf(request) ?? 0) > 0
}
