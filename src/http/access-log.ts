import type { FastifyReply, FastifyRequest } from 'fastify'
import { isRegistryError } from '../oci/errors.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { RequestRecord } from './call.ts'

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
export function createAccessLog({ log, logRequest, metrics }: Telemetry, onFailure?: OnFailure) {
  const count = metrics.httpRequests.tally((key) => {
    const [method = '', code = '', route = ''] = key.split(' ')
    return { route, method, code }
  })

  return (request: FastifyRequest, reply: FastifyReply): void => {
    const { record, raw } = request
    const startedAt = performance.now()
    // A closed socket has no address.
    const remote = plainAddress(raw.socket.remoteAddress)
    metrics.httpInFlight.inc()
    reply.raw.on('close', () => {
      const milliseconds = performance.now() - startedAt
      const method = raw.method ?? ''
      const { headersSent, statusCode, writableFinished } = reply.raw
      const status = headersSent ? statusCode : clientClosedRequest
      metrics.httpInFlight.dec()
      count(`${method} ${status} ${record.route}`)
      metrics.httpDuration.observe({ route: record.route }, milliseconds / 1000)
      const reason = status >= 400 && status < 500 ? reasonOf(request, record.error) : undefined
      const agent = raw.headers['user-agent']?.slice(0, maxUserAgentLength)
      const ms = Math.round(milliseconds * 10) / 10
      const cut = writableFinished ? undefined : true
      if (status < 500)
        return logRequest(toMembers({ method, record, status, reason, ms, remote, agent, cut }))
      const { error, ...known } = record
      onFailure?.({ status, repository: record.repository, error })
      log.error({ method, ...known, status, ms, remote, agent, cut, err: error }, 'request')
    })
  }
}

type Fields = {
  readonly method: string
  readonly record: RequestRecord
  readonly status: number
  readonly reason: string | undefined
  readonly ms: number
  readonly remote: string | undefined
  readonly agent: string | undefined
  readonly cut: true | undefined
}

/** The fields as members of a JSON object. */
function toMembers({ method, record, status, reason, ms, remote, agent, cut }: Fields): string {
  const members =
    member('method', method) +
    member('route', record.route) +
    member('bytes', record.bytes) +
    member('received', record.received) +
    member('user', record.user) +
    member('repository', record.repository) +
    member('namespace', record.namespace) +
    member('reference', record.reference) +
    member('cache', record.cache) +
    member('status', status) +
    member('reason', reason) +
    member('ms', ms) +
    member('remote', remote) +
    member('agent', agent) +
    member('cut', cut)
  return members.slice(1)
}

function member(name: string, value: string | number | boolean | undefined): string {
  if (value === undefined) return ''
  if (typeof value !== 'string') return `,"${name}":${value}`
  return isPlain.test(value) ? `,"${name}":"${value}"` : `,"${name}":${JSON.stringify(value)}`
}

/** Printable characters of ASCII, without quotation marks and backslashes. */
const isPlain = /^[ !#-[\]-~]*$/

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
  return address?.startsWith('::ffff:') === true && address.includes('.')
    ? address.slice('::ffff:'.length)
    : address
}

/** In characters. */
const maxUserAgentLength = 100
const maxReasonLength = 1000
/** The client closed the connection before the response; nginx's status code for it. */
const clientClosedRequest = 499
