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
import { hasAlready } from './conditions.ts'
import { maxRanges, parseRanges } from './range.ts'
import { provenanceHeaders } from './replies.ts'
import { memoryToSend, type Send } from './send.ts'

/** Checking if content exists in the registry (distribution-spec). Downloads nothing. */
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
  reply.headers({ ...provenanceHeaders(stat), ...headers })
  if (hasAlready(request, headers.etag)) return reply.code(304).send()
  if (stat.size !== undefined) reply.header('content-length', stat.size)
  return reply.send()
}

type GetBlobOptions = {
  readonly send: Send
  readonly memory: Reservations
  /** From the request to the answer's headers, in milliseconds; bytes that are later come later. */
  readonly answerTime: number
  readonly log: Logger
  readonly metrics: Metrics
}

/** Pulling blobs (distribution-spec), with ranges of bytes (RFC 9110, section 14). */
export function createGetBlob({ send, memory, answerTime, log, metrics }: GetBlobOptions) {
  return async ({ repository, name, reference, request, reply, record }: RepositoryCall) => {
    const headersDeadline = performance.now() + answerTime
    const digest = parseDigest(reference)
    record.reference = digest
    const range = requestedRange(request, `"${digest}"`)
    const found = await repository.blob(digest, { ranged: range !== undefined })
    if (found === undefined) throw blobUnknown(name, digest)
    if (found.cache !== undefined) record.cache = found.cache
    const { content, onSent: served } = found
    const headers = { ...provenanceHeaders(found), ...blobHeaders(digest) }
    const release = memory.reserve(memoryToSend(content.size, request.raw.socket))
    try {
      if (release === undefined) throw tooManyBlobs()
      if (hasAlready(request, headers.etag)) return await reply.code(304).headers(headers).send()
      if (content.size === 0) return await reply.headers({ ...headers, 'content-length': 0 }).send()
      await sendRange({ reply, headers, content, range, record, headersDeadline })
    } finally {
      release?.()
      content.close(record.error !== undefined)
      served(record.bytes)
    }
  }

  async function sendRange(options: SendRange): Promise<void> {
    const { reply, headers, content, range, record, headersDeadline } = options
    const { size } = content
    const ranges = parseRanges(range, size)
    if (ranges === 'unsatisfiable') {
      reply.header('content-range', `bytes */${size}`)
      throw new RegistryError('SIZE_INVALID', {
        status: 416,
        message: `the blob has ${size} bytes, and at most ${maxRanges} ranges may be asked for`,
      })
    }
    const { first, parts, epilogue, headers: bodyHeaders } = blobBody(ranges, size)
    // Before the headers: a blob that cannot be had is still an answer, and not a connection that
    // breaks; nor does that answer live for a year, as the blob would.
    const piece = content.next(first, parts[0] && parts[0].last + 1)
    if (
      piece instanceof Promise &&
      (await isSettledWithin(piece, headersDeadline - performance.now()))
    )
      await piece
    reply.code(ranges === undefined ? 200 : 206).headers({ ...headers, ...bodyHeaders })
    const response = hijack(reply)
    try {
      await send({ response, content, piece, parts, epilogue }, (bytes) => {
        record.bytes += bytes
      })
    } catch (err) {
      // There is no way back: what went wrong can only be told by having hung up.
      record.error = err
      metrics.httpShortResponses.inc()
      log.warn({ digest: content.digest, err }, 'answer was cut short')
    }
  }
}

function tooManyBlobs(): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: 'too many blobs are being sent at once; try again',
    retryAfter: 1,
  })
}

type SendRange = {
  readonly reply: FastifyReply
  readonly headers: Readonly<Record<string, string>>
  readonly content: Content
  readonly range: string | undefined
  readonly record: RequestRecord
  /** On the monotonic clock, in milliseconds. */
  readonly headersDeadline: number
}

/** From here on the response is ours: headers are on their way, and the body goes past fastify. */
function hijack(reply: FastifyReply) {
  const { raw, statusCode } = reply
  for (const [name, value] of Object.entries(reply.getHeaders()))
    if (value !== undefined) raw.setHeader(name, value)
  reply.hijack()
  raw.writeHead(statusCode)
  raw.flushHeaders()
  return raw
}

/** A range is of the blob that the client has the beginning of, or none (RFC 9110, "If-Range"). */
function requestedRange({ headers }: FastifyRequest, etag: string): string | undefined {
  const condition = headers['if-range']
  return condition === undefined || condition === etag ? headers.range : undefined
}

/** What a digest means never changes. Private: who may read it was decided for this user. */
function blobHeaders(digest: Digest) {
  return {
    'content-type': blobMediaType,
    'docker-content-digest': digest,
    etag: `"${digest}"`,
    'accept-ranges': 'bytes',
    'cache-control': 'private, max-age=31536000, immutable',
  }
}

function blobUnknown(name: RepositoryName, digest: Digest): RegistryError {
  return new RegistryError('BLOB_UNKNOWN', { message: `${name} has no blob ${digest}` })
}
