import type { IncomingMessage, ServerResponse } from 'node:http'
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
 * not, or at once if the kernel has all of it. `startedAt`: as `performance.now()`.
 */
export type AccessLog = (
  request: IncomingMessage,
  response: ServerResponse,
  record: RequestRecord,
  startedAt?: number,
) => void

export function createAccessLog(
  { log, logRequest, metrics }: Telemetry,
  onFailure?: OnFailure,
): AccessLog {
  const count = metrics.httpRequests.tally((key) => {
    const [method = '', code = '', route = ''] = key.split(' ')
    return { route, method, code }
  })
  const prepare = (method: string, status: number, record: RequestRecord) => ({
    count: count.of(`${method} ${status} ${record.route}`),
    observe: metrics.httpDuration.prepare({ route: record.route }),
    members: toMembers(method, record),
  })

  const write = (
    request: IncomingMessage,
    record: RequestRecord,
    { status, milliseconds, remote, cut }: Outcome,
  ): void => {
    const method = request.method ?? ''
    record.prepared ??= prepare(method, status, record)
    const { prepared } = record
    prepared.count.pending += 1
    prepared.observe(milliseconds / 1000)
    const reason = status >= 400 && status < 500 ? reasonOf(request, record.error) : undefined
    const agent = request.headers['user-agent']?.slice(0, maxUserAgentLength)
    const ms = Math.round(milliseconds * 10) / 10
    if (status < 500)
      return logRequest(prepared.members + rest({ status, reason, ms, remote, agent, cut }))
    const { error, prepared: _, ...known } = record
    onFailure?.({ status, repository: record.repository, error })
    log.error({ method, ...known, status, ms, remote, agent, cut, err: error }, 'request')
  }

  return (request, response, record, startedAt = performance.now()) => {
    // A closed socket has no address.
    const remote = plainAddress(request.socket.remoteAddress)
    const outcome = (status: number, cut?: true): Outcome => {
      const milliseconds = performance.now() - startedAt
      return { status, milliseconds, remote, cut }
    }
    if (isSent(response)) return write(request, record, outcome(response.statusCode))
    metrics.httpInFlight.inc()
    response.on('close', () => {
      const { headersSent, statusCode, writableFinished } = response
      metrics.httpInFlight.dec()
      const status = headersSent ? statusCode : clientClosedRequest
      write(request, record, outcome(status, writableFinished ? undefined : true))
    })
  }
}

/** How a response ended. */
type Outcome = {
  readonly status: number
  readonly milliseconds: number
  readonly remote: string | undefined
  readonly cut: true | undefined
}

/** Whether the kernel has all of it. A listener for its close would cost as much as the line. */
function isSent(response: ServerResponse): boolean {
  const { writableEnded, writableLength, socket } = response
  return writableEnded && writableLength === 0 && socket !== null && !socket.destroyed
}

type Rest = {
  readonly status: number
  readonly reason: string | undefined
  readonly ms: number
  readonly remote: string | undefined
  readonly agent: string | undefined
  readonly cut: true | undefined
}

/** As members of a JSON object. Those that are not escaped contain printable ASCII only, by their grammar. */
function toMembers(method: string, record: RequestRecord): string {
  const { route, bytes, received, user, repository, namespace, reference, cache } = record
  return (
    `"method":"${method}","route":"${route}","bytes":${bytes}` +
    (received === undefined ? '' : `,"received":${received}`) +
    (user === undefined ? '' : `,"user":${quote(user)}`) +
    (repository === undefined ? '' : `,"repository":"${repository}"`) +
    (namespace === undefined ? '' : `,"namespace":${quote(namespace)}`) +
    (reference === undefined ? '' : `,"reference":"${reference}"`) +
    (cache === undefined ? '' : `,"cache":"${cache}"`)
  )
}

/** The members that follow. */
function rest({ status, reason, ms, remote, agent, cut }: Rest): string {
  return (
    `,"status":${status}` +
    (reason === undefined ? '' : `,"reason":${quote(reason)}`) +
    `,"ms":${ms}` +
    (remote === undefined ? '' : `,"remote":"${remote}"`) +
    (agent === undefined ? '' : `,"agent":${quote(agent)}`) +
    (cut === undefined ? '' : ',"cut":true')
  )
}

function quote(text: string): string {
  return isPlain.test(text) ? `"${text}"` : JSON.stringify(text)
}

/** Printable characters of ASCII, without quotation marks and backslashes. */
const isPlain = /^[ !#-[\]-~]*$/

/**
 * The message of a failed login, a denied access, an unknown name or a push that failed. Other client errors
 * are clear from their status.
 */
function reasonOf({ method, headers }: IncomingMessage, error: unknown): string | undefined {
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
