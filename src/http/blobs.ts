import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Reservations } from '../memory/memory.ts'
import type { Content } from '../oci/content.ts'
import { type Digest, parseDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { isSettledWithin } from '../registry/registry.ts'
import type { Logger, Metrics } from '../telemetry/telemetry.ts'
import { blobBody, blobMediaType } from './blob-body.ts'
import type { RepositoryCall, RequestRecord } from './call.ts'
import { assertMatch, etagOf, hasAlready } from './conditions.ts'
import { maxRanges, parseRanges } from './range.ts'
import { commonHeaders, provenanceHeaders } from './replies.ts'
import { reserveToSend, type Send } from './send.ts'
import { createCountSent } from './sent-bytes.ts'

/** distribution-spec, "Checking if content exists in the registry". Downloads nothing. */
export async function headBlob({
  repository,
  name,
  reference,
  request,
  reply,
  record,
}: RepositoryCall) {
  const digest = parseDigest(reference)
  record.reference = digest
  const stat = await repository.statBlob(digest)
  if (stat === undefined) throw blobUnknown(name, digest)
  if (stat.cache !== undefined) record.cache = stat.cache
  const headers = blobHeaders(digest)
  assertMatch(request, headers.etag)
  reply.headers({ ...provenanceHeaders(stat), ...headers })
  if (hasAlready(request, headers.etag)) return reply.code(304).send()
  if (stat.size !== undefined) reply.header('content-length', stat.size)
  return reply.send()
}

type GetBlobOptions = {
  readonly send: Send
  readonly memory: Reservations
  /** Maximum time from the request to the response headers, in milliseconds. The body may follow later. */
  readonly answerTime: number
  readonly log: Logger
  readonly metrics: Metrics
}

/** distribution-spec, "Pulling blobs", with byte ranges (RFC 9110, section 14). */
export function createGetBlob({ send, memory, answerTime, log, metrics }: GetBlobOptions) {
  const countSent = createCountSent(metrics, 'blob')
  return async ({ repository, name, reference, request, reply, record }: RepositoryCall) => {
    const headersDeadline = performance.now() + answerTime
    const digest = parseDigest(reference)
    record.reference = digest
    const location = await repository.redirect?.(digest)
    if (location !== undefined) {
      record.cache = 'redirect'
      const headers = { location, 'docker-content-digest': digest, 'x-cache': 'redirect' }
      return reply
        .code(307)
        .headers({ ...headers, 'cache-control': 'no-store' })
        .send()
    }
    const range = requestedRange(request, etagOf(digest))
    const client = request.raw.socket.remoteAddress ?? ''
    const found = await repository.blob(digest, { ranged: range !== undefined, client })
    if (found === undefined) throw blobUnknown(name, digest)
    if (found.cache !== undefined) record.cache = found.cache
    const { content, upstream } = found
    const headers = { ...provenanceHeaders(found), ...blobHeaders(digest) }
    const reserved = reserveToSend(memory, content.size, request.raw.socket)
    try {
      if (reserved === undefined) throw tooManyBlobs()
      assertMatch(request, headers.etag)
      if (hasAlready(request, headers.etag)) return await reply.code(304).headers(headers).send()
      if (content.size === 0) return await reply.headers({ ...headers, 'content-length': 0 }).send()
      const { bufferSize } = reserved
      await sendRange({ reply, headers, content, range, record, headersDeadline, bufferSize })
    } finally {
      reserved?.release()
      content.close(record.error !== undefined)
      countSent(upstream, record.bytes)
    }
  }

  async function sendRange(options: SendRange): Promise<void> {
    const { reply, headers, content, range, record, headersDeadline, bufferSize } = options
    const { size } = content
    const ranges = parseRanges(range, size)
    if (ranges === 'unsatisfiable') {
      reply.header('content-range', `bytes */${size}`)
      throw new RegistryError('SIZE_INVALID', {
        status: 416,
        message: `cannot send the requested ranges: the blob has ${size} bytes, and a request may have at most ${maxRanges} ranges`,
      })
    }
    const { first, parts, epilogue, headers: bodyHeaders } = blobBody(ranges, size)
    // Before the headers: if the blob is unavailable, the client still gets an error response instead of
    // a broken connection, and the error has no Cache-Control of a year.
    const piece = content.next(first, parts[0] && parts[0].last + 1)
    if (
      piece instanceof Promise &&
      (await isSettledWithin(piece, headersDeadline - performance.now()))
    )
      await piece
    reply.code(ranges === undefined ? 200 : 206).headers({ ...headers, ...bodyHeaders })
    const response = hijack(reply)
    try {
      await send({ response, content, piece, parts, epilogue, bufferSize }, (bytes) => {
        record.bytes += bytes
      })
    } catch (err) {
      // The headers are sent: closing the connection is the only way to report an error.
      record.error = err
      metrics.httpShortResponses.inc()
      log.warn(
        { digest: content.digest, err },
        'closed the connection before the whole blob was sent',
      )
    }
  }
}

function tooManyBlobs(): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: 'cannot send this blob now: the memory for concurrent responses is used up',
    advice: 'retry',
    retryAfter: 1,
  })
}

type SendRange = {
  readonly reply: FastifyReply
  readonly headers: Readonly<Record<string, string>>
  readonly content: Content
  readonly range: string | undefined
  readonly record: RequestRecord
  /** A time of `performance.now()`. */
  readonly headersDeadline: number
  readonly bufferSize: number
}

/** Sends the headers, and takes the response from fastify to write the body. */
function hijack(reply: FastifyReply) {
  const { raw, statusCode } = reply
  for (const [name, value] of Object.entries({ ...commonHeaders, ...reply.getHeaders() }))
    if (value !== undefined) raw.setHeader(name, value)
  reply.hijack()
  raw.writeHead(statusCode)
  raw.flushHeaders()
  return raw
}

/** The Range header, ignored when If-Range has another ETag (RFC 9110, section 13.1.5). */
function requestedRange({ headers }: FastifyRequest, etag: string): string | undefined {
  const condition = headers['if-range']
  return condition === undefined || condition === etag ? headers.range : undefined
}

/** Immutable: the content of a digest never changes. Private: access was checked for this user only. */
function blobHeaders(digest: Digest) {
  return {
    'content-type': blobMediaType,
    'docker-content-digest': digest,
    etag: etagOf(digest),
    'accept-ranges': 'bytes',
    'cache-control': 'private, max-age=31536000, immutable',
  }
}

function blobUnknown(name: RepositoryName, digest: Digest): RegistryError {
  return new RegistryError('BLOB_UNKNOWN', { message: `${name} has no blob ${digest}` })
}
