import type { FastifyReply, FastifyRequest } from 'fastify'
import { isRegistryError } from '../oci/errors.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'

/** Is called for each response with a 5XX status. */
export type OnFailure = (failure: {
  readonly status: number
  /** A name that a client sent, if it is valid. */
  readonly repository: string | undefined
  readonly error: unknown
}) => void

/**
 * Writes one log line and updates the metrics for each request when its response is closed, complete or
 * not.
 */
export function createAccessLog({ log, metrics }: Telemetry, onFailure?: OnFailure) {
  return (request: FastifyRequest, reply: FastifyReply): void => {
    const { record } = request
    const startedAt = performance.now()
    // A closed socket has no address.
    const remote = plainAddress(request.raw.socket.remoteAddress)
    metrics.httpInFlight.inc()
    reply.raw.once('close', () => {
      const milliseconds = performance.now() - startedAt
      const { method } = request
      const status = reply.raw.headersSent ? reply.raw.statusCode : clientClosedRequest
      metrics.httpInFlight.dec()
      metrics.httpRequests.inc({ route: record.route, method, code: status })
      metrics.httpDuration.observe({ route: record.route }, milliseconds / 1000)
      const isComplete = reply.raw.writableFinished
      const fields = {
        method,
        ...record,
        error: undefined,
        status,
        reason: status >= 400 && status < 500 ? reasonOf(request, record.error) : undefined,
        ms: Math.round(milliseconds * 10) / 10,
        remote,
        agent: request.headers['user-agent']?.slice(0, maxUserAgentLength),
        ...(isComplete ? undefined : { cut: true }),
      }
      if (status >= 500) onFailure?.({ status, repository: record.repository, error: record.error })
      if (status >= 500) log.error({ ...fields, err: record.error }, 'request')
      else log.info(fields, 'request')
    })
  }
}

/**
 * The message of a failed login, a denied access, an unknown name or a push that failed. Other client errors
 * are clear from their status.
 */
function reasonOf({ method, headers }: FastifyRequest, error: unknown): string | undefined {
  if (!isRegistryError(error)) return undefined
  const isLogin = headers.authorization !== undefined
  const isWrite = method !== 'GET' && method !== 'HEAD'
  const hasReason =
    error.code === 'UNAUTHORIZED'
      ? isLogin
      : isWrite || error.code === 'DENIED' || error.code === 'NAME_UNKNOWN'
  return hasReason ? error.message.slice(0, maxReasonLength) : undefined
}

/** A socket that listens on `::` reports IPv4 addresses as IPv4-mapped IPv6 (RFC 4291, section 2.5.5.2). */
function plainAddress(address: string | undefined): string | undefined {
  return address?.replace(/^::ffff:(?=\d+\.)/, '')
}

/** In characters. */
const maxUserAgentLength = 100
const maxReasonLength = 1000
/** The client closed the connection before the response; nginx's status code for it. */
const clientClosedRequest = 499
