import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { constants, gzip } from 'node:zlib'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { hasAlready, type SiteCall } from '../http/http.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import type { Problem } from './answers.ts'
import type { Reply } from './call.ts'

const compress = promisify(gzip)
/** Bytes from which an answer is compressed. */
const minCompressed = 4096

const headers = {
  // A browser keeps answers for the user who got them.
  vary: 'authorization, accept-encoding',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
} as const

const cacheControl = {
  immutable: 'private, max-age=31536000, immutable',
  validated: 'private, no-cache',
} as const

/** Answers 304 if the client has the same answer. */
export async function sendReply(
  request: FastifyRequest,
  reply: FastifyReply,
  { body, isImmutable = false, download }: Reply<unknown>,
) {
  if (download !== undefined) return sendDownload(reply, download)
  const bytes = Buffer.from(JSON.stringify(body))
  const etag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`
  reply.headers({
    ...headers,
    'cache-control': isImmutable ? cacheControl.immutable : cacheControl.validated,
    // Weak: the same for compressed bytes.
    etag: `W/${etag}`,
  })
  const isRead = request.method === 'GET' || request.method === 'HEAD'
  if (isRead && hasAlready(request, etag)) return reply.code(304).send()
  reply.header('content-type', 'application/json')
  if (bytes.length < minCompressed || !acceptsGzip(request)) return reply.send(bytes)
  const compressed = await compress(bytes, { level: constants.Z_BEST_SPEED })
  return reply.header('content-encoding', 'gzip').send(compressed)
}

/**
 * The danger: a file of an image may be a web page. It is saved, never shown, and nothing in it runs.
 */
function sendDownload(
  reply: FastifyReply,
  { fileName, size, chunks }: NonNullable<Reply<unknown>['download']>,
) {
  reply.headers({
    ...headers,
    'content-security-policy': "default-src 'none'; sandbox",
    'cache-control': 'private, no-store',
    'content-type': 'application/octet-stream',
    'content-length': size,
    // RFC 8187.
    'content-disposition': `attachment; filename*=UTF-8''${encodeURIComponent(fileName.toWellFormed()).replace(/['()*]/g, escapeCharacter)}`,
  })
  return reply.send(Readable.from(chunks, { objectMode: false }))
}

function escapeCharacter(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`
}

function acceptsGzip({ headers }: FastifyRequest): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/.test(headers['accept-encoding'] ?? '')
}

/** RFC 9457. Errors other than RegistryError are bugs; their message goes to the log only. */
export function sendProblem({ request, reply, query }: SiteCall, thrown: unknown) {
  const error = isRegistryError(thrown) ? thrown : new RegistryError('UNKNOWN', { cause: thrown })
  const { status, code, message, retryAfter } = error
  const problem: Problem = {
    type: 'about:blank',
    title: titles[status] ?? 'Error',
    status,
    detail: message,
    code,
  }
  if (status === 401) reply.header('www-authenticate', challengeFor(request, query.has('login')))
  if (retryAfter !== undefined)
    reply.header('retry-after', String(Math.max(1, Math.ceil(retryAfter))))
  return reply
    .code(status)
    .headers({
      ...headers,
      'cache-control': 'no-store',
      'content-type': 'application/problem+json',
    })
    .send(Buffer.from(JSON.stringify(problem)))
}

/**
 * Browsers answer a Basic challenge with a dialog, also for a script's request. A script that does not ask
 * for a login gets a scheme that they do not know (Fetch Metadata tells scripts from people).
 */
function challengeFor({ headers }: FastifyRequest, asksForLogin: boolean): string {
  const mode = headers['sec-fetch-mode'] ?? 'navigate'
  const scheme = mode === 'navigate' || asksForLogin ? 'Basic' : 'x-basic'
  return `${scheme} realm="Berth", charset="UTF-8"`
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  507: 'Insufficient Storage',
}
