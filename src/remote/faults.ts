import { inspect } from 'node:util'
import { RegistryError } from '../oci/errors.ts'
import { redact } from '../telemetry/telemetry.ts'

/**
 * How an upstream failed. `unreachable`: no connection. `broken`: the connection ended before the
 * answer did, as one does that was kept alive too long. `slow`: no answer in time. `untrusted`:
 * TLS. `garbled`: what came was no HTTP. `failing`: 5XX. `redirected`: where the registry redirects to
 * refuses what the registry allowed, as it does when a signed URL has expired.
 */
type Fault = 'unreachable' | 'broken' | 'slow' | 'untrusted' | 'garbled' | 'failing' | 'redirected'

/**
 * The upstream's fault, not ours and not the client's. Its message is for clients; the cause, a
 * foreign error, for the log.
 */
export class UpstreamFailure extends RegistryError {
  readonly fault: Fault
  /** Seconds that the upstream itself asked to be left alone for. */
  readonly quiet: number

  constructor(
    fault: Fault,
    message: string,
    {
      cause,
      retryAfter,
      advice,
    }: { cause?: unknown; retryAfter?: number; advice?: string | undefined },
  ) {
    super('UNAVAILABLE', {
      message,
      advice,
      status: statuses[fault],
      retryAfter: Math.ceil(retryAfter ?? usualRetryAfter),
      cause,
    })
    this.fault = fault
    this.quiet = retryAfter ?? 0
  }
}

/** The upstream answered 429 to the kind of question that was asked. */
export class Throttled extends RegistryError {
  constructor(message: string, retryAfter: number | undefined) {
    super('TOOMANYREQUESTS', { message, ...(retryAfter !== undefined && { retryAfter }) })
  }
}

/**
 * A 401, 403 or 404 that no registry wrote, and that therefore says nothing of what the registry has
 * or allows.
 */
export class UnconfirmedAnswer extends RegistryError {
  constructor(origin: string, status: number) {
    super('UNAVAILABLE', {
      message: `${origin} answered ${status}, but not as a registry does`,
      advice:
        "check the upstream's url, and what answers there: an ingress without a backend, a proxy, or a login page",
      status: 502,
    })
  }
}

/** Whether there was no connection, for a reason that is not ours: the host is down. */
export function isConnectFailure(error: unknown): error is UpstreamFailure {
  if (!(error instanceof UpstreamFailure)) return false
  if (error.fault === 'untrusted') return true
  return error.fault === 'unreachable' && !localCodes.has(firstWithCode(error.cause).code)
}

const localCodes = new Set(['EADDRNOTAVAIL', 'EMFILE', 'ENFILE'])

/** What clients are told when the upstream does not say, in seconds. */
const usualRetryAfter = 5

const statuses = {
  unreachable: 503,
  broken: 503,
  slow: 504,
  untrusted: 502,
  garbled: 502,
  failing: 503,
  redirected: 502,
} as const satisfies Record<Fault, number>

/** A fault, why, and what to change. */
type Diagnosis = readonly [Fault, string, string?]

const blocked = 'see whether a firewall or a NetworkPolicy keeps us from it, or set HTTPS_PROXY'

const byCode: Readonly<Record<string, Diagnosis>> = {
  UND_ERR_CONNECT_TIMEOUT: ['unreachable', 'no connection within the time limit', blocked],
  ECONNREFUSED: [
    'unreachable',
    'connection refused',
    "check the host and port of the upstream's url",
  ],
  EHOSTUNREACH: ['unreachable', 'no route to the host', blocked],
  ENETUNREACH: ['unreachable', 'no route to the network', blocked],
  ENOTFOUND: ['unreachable', 'its name does not resolve', "check the host of the upstream's url"],
  EAI_AGAIN: [
    'unreachable',
    'its name cannot be looked up at the moment',
    'see whether the DNS server can be reached',
  ],
  EADDRNOTAVAIL: ['unreachable', 'no local address or port is free'],
  EMFILE: ['unreachable', 'too many open files on our side'],
  UND_ERR_HEADERS_TIMEOUT: ['slow', 'no answer within the time limit'],
  UND_ERR_BODY_TIMEOUT: ['slow', 'its answer stopped arriving'],
  UND_ERR_HEADERS_OVERFLOW: ['garbled', 'its answer has too large headers'],
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: ['broken', 'its answer had another length than it said'],
}

const socketCodes = new Set([
  'UND_ERR_SOCKET',
  'ECONNRESET',
  'EPIPE',
  'ECONNABORTED',
  'ETIMEDOUT',
  'UND_ERR_ABORTED',
])
const tlsCode =
  /^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH|EPROTO|ERR_OSSL)/

/**
 * Translates whatever the HTTP client threw while talking to `origin`. The one place that knows its
 * codes.
 */
export function toUpstreamFailure(error: unknown, origin: string): RegistryError {
  if (error instanceof RegistryError) return error
  const { code, message } = firstWithCode(error)
  const [fault, why, advice] = byCode[code] ?? classify(code, message)
  return new UpstreamFailure(fault, `cannot use ${origin}: ${why}`, { advice, cause: error })
}

function classify(code: string, message: string): Diagnosis {
  const byProxy = /^Proxy response \((\d+)\)/.exec(message)?.[1]
  if (byProxy !== undefined)
    return [
      'unreachable',
      `the forward proxy answered ${byProxy}`,
      'check HTTPS_PROXY and what the proxy allows, or add the host to NO_PROXY',
    ]
  if (socketCodes.has(code)) return ['broken', 'the connection broke']
  if (tlsCode.test(code)) return ['untrusted', `TLS: ${redact(message)}`, tlsAdvice(code)]
  if (code.startsWith('HPE_')) return ['garbled', 'what it answered is not HTTP']
  return ['unreachable', redact(message)]
}

function tlsAdvice(code: string): string {
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return "its certificate, or this machine's clock, is out of date"
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return 'the url has to name the host as its certificate does'
  if (code === 'EPROTO' || code.startsWith('ERR_SSL')) return 'it may speak plain HTTP on that port'
  return "set the upstream's certificateAuthorities to a PEM file of the authority that signed it, if that is the company's own"
}

/** Several addresses fail as one AggregateError without a code of its own. */
function firstWithCode(error: unknown): { code: string; message: string } {
  if (error instanceof AggregateError && !('code' in error)) return firstWithCode(error.errors[0])
  if (!(error instanceof Error)) return { code: '', message: inspect(error, { depth: 0 }) }
  // The client's parser has a code for few of the things that it refuses.
  if (error.name === 'HTTPParserError') return { code: 'HPE_INVALID', message: error.message }
  if ('code' in error && typeof error.code === 'string') {
    const inner =
      error.cause instanceof Error && error.code === 'UND_ERR_SOCKET'
        ? firstWithCode(error.cause)
        : undefined
    return inner?.code ? inner : { code: error.code, message: error.message }
  }
  return error.cause === undefined
    ? { code: '', message: error.message }
    : firstWithCode(error.cause)
}
