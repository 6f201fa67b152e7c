import type { OutgoingHttpHeader } from 'node:http'
import type { FastifyReply } from 'fastify'
import { errorBody, isRegistryError, RegistryError } from '../oci/errors.ts'
import type { CacheResult } from '../registry/registry.ts'

/**
 * For every response: the header by which docker recognizes a registry, and one that forbids browsers to
 * guess content types.
 */
export const commonHeaders = {
  'docker-distribution-api-version': 'registry/2.0',
  'x-content-type-options': 'nosniff',
} as const

/** Quoted as RFC 9110, section 11.6.1, requires. */
export const challenge = 'Basic realm="Berth", charset="UTF-8"'

/** In bytes, for all warnings of a response (distribution-spec, "Warnings"). */
const maxWarningLength = 1024

type Provenance = { readonly cache?: CacheResult; readonly warning?: string }

export function provenanceHeaders({ cache, warning }: Provenance): Record<string, string> {
  const headers: Record<string, string> = cache === undefined ? {} : { 'x-cache': cache }
  if (warning !== undefined)
    headers['warning'] =
      `299 - "${warning.replace(/["\\]|[^\x20-\x7e]/g, "'").slice(0, maxWarningLength)}"`
  return headers
}

/** In bytes. Shorter payloads are covered by the memory that is reserved for each request. */
export const minReservedPayload = 16 * 1024

/**
 * Sends bytes from memory, and the headers that the reply has. Short ones are not passed through fastify, which looks
 * for other kinds of payload first, and whose hook reserves memory for long ones.
 */
export function sendBytes(
  reply: FastifyReply,
  bytes: Buffer,
  headers: Readonly<Record<string, string>>,
): unknown {
  if (bytes.length >= minReservedPayload) return reply.headers(headers).send(bytes)
  const { raw, statusCode } = reply
  raw.writeHead(statusCode, listOf({ ...commonHeaders, ...headers }, reply.getHeaders()))
  // Not before: for a header that Node does not accept, fastify has to send an error.
  reply.hijack()
  raw.end(bytes)
  return undefined
}

/** Headers as Node writes them fastest: names and values in turn. */
export function listOf(
  ...all: readonly Readonly<Record<string, OutgoingHttpHeader | undefined>>[]
): OutgoingHttpHeader[] {
  const list: OutgoingHttpHeader[] = []
  for (const headers of all)
    for (const name in headers) {
      const value = headers[name]
      if (value !== undefined) list.push(name, value)
    }
  return list
}

/**
 * Sends JSON as bytes: for a string or an object fastify adds `; charset=utf-8` to the media type, which
 * breaks clients that compare it.
 */
export function sendJson(reply: FastifyReply, value: unknown, mediaType = 'application/json') {
  return reply.header('content-type', mediaType).send(Buffer.from(JSON.stringify(value)))
}

/** The one place that translates an error to a response. */
export function sendError(reply: FastifyReply, thrown: unknown) {
  const error = toRegistryError(thrown)
  reply.code(error.status).headers({ ...commonHeaders, 'content-type': 'application/json' })
  if (error.status === 401) reply.header('www-authenticate', challenge)
  if (error.retryAfter !== undefined)
    reply.header('retry-after', String(Math.max(1, Math.ceil(error.retryAfter))))
  return reply.send(Buffer.from(errorBody(error)))
}

/**
 * Errors with a status are fastify's, for requests that it rejects by itself. Any other error is a bug;
 * its message goes to the log only.
 */
function toRegistryError(error: unknown): RegistryError {
  if (isRegistryError(error)) return error
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
  if (status === 413)
    return new RegistryError('SIZE_INVALID', {
      status,
      message: 'the request body is too large',
      cause: error,
    })
  if (status >= 400 && status < 500)
    return new RegistryError('UNSUPPORTED', {
      status,
      message: 'the request is not valid HTTP for this server',
      cause: error,
    })
  return new RegistryError('UNKNOWN', { cause: error })
}
