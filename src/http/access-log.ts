import type { FastifyReply, FastifyRequest } from 'fastify'
import { isRegistryError } from '../oci/errors.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'

/**
 * One line and the metrics for each request, when its connection is done with it, however it ended.
 */
export function createAccessLog({ log, metrics }: Telemetry) {
  return (request: FastifyRequest, reply: FastifyReply): void => {
    const { record } = request
    const startedAt = performance.now()
    // A connection that is gone has no address any more.
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
        reason: status >= 400 && status < 500 ? reasonOf(record.error) : undefined,
        ms: Math.round(milliseconds * 10) / 10,
        remote,
        agent: request.headers['user-agent']?.slice(0, maxUserAgentLength),
        ...(isComplete ? undefined : { cut: true }),
      }
      if (status >= 500) log.error({ ...fields, err: record.error }, 'request')
      else log.info(fields, 'request')
    })
  }
}

/** Of a refusal, what the client was told; other errors of clients speak for themselves. */
function reasonOf(error: unknown): string | undefined {
  const hasReason = isRegistryError(error, 'DENIED') || isRegistryError(error, 'NAME_UNKNOWN')
  return hasReason ? error.message.slice(0, maxReasonLength) : undefined
}

/** A socket that listens on :: shows IPv4 addresses as IPv6 ones (RFC 4291, section 2.5.5.2). */
function plainAddress(address: string | undefined): string | undefined {
  return address?.replace(/^::ffff:(?=\d+\.)/, '')
}

/** In characters. */
const maxUserAgentLength = 100
const maxReasonLength = 1000
/** Nothing was answered, since nobody was there any more; nginx's number for it. */
const clientClosedRequest = 499
