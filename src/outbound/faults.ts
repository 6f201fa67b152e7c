import { inspect } from 'node:util'
import { errors } from 'undici'
import { redact } from '../telemetry/telemetry.ts'

/**
 * How a request failed on the network. `unreachable`: no connection. `broken`: the connection ended
 * before the answer did, as an expired kept-alive connection does. `slow`: no answer in time.
 * `untrusted`: TLS. `garbled`: the answer is not valid HTTP.
 */
export type Fault = 'unreachable' | 'broken' | 'slow' | 'untrusted' | 'garbled'

export type NetworkFault = {
  readonly fault: Fault
  /** The code of Node or undici; empty when there is none. */
  readonly code: string
  /** For people, without secrets. */
  readonly why: string
  /** What to change, if that is known. */
  readonly advice: string | undefined
}

/** A fault, its reason, and what to change. */
type Diagnosis = readonly [Fault, string, string?]

const blocked = 'see whether a firewall or a NetworkPolicy keeps us from it, or set HTTPS_PROXY'

const byCode: Readonly<Record<string, Diagnosis>> = {
  UND_ERR_CONNECT_TIMEOUT: ['unreachable', 'no connection within the time limit', blocked],
  ECONNREFUSED: [
    'unreachable',
    'connection refused',
    'check its host and port, and whether it runs',
  ],
  EHOSTUNREACH: ['unreachable', 'no route to the host', blocked],
  ENETUNREACH: ['unreachable', 'no route to the network', blocked],
  ENOTFOUND: ['unreachable', 'its name does not resolve', 'check the host'],
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

/** What to change if `origin` is used without TLS. */
export const adviceForTls =
  'it may speak TLS on that port: https:// in the url of the upstream, --certificate of a command'

/** Classifies an error of the HTTP client. Only this function knows the client's codes. `origin`: where it was sent. */
export function describeFault(error: unknown, origin = ''): NetworkFault {
  const { code, message } = firstWithCode(error)
  const [fault, why, advice] = byCode[code] ?? classify(code, message)
  const mayNeedTls = origin.startsWith('http:') && isFromTls(error)
  return { fault, code, why, advice: mayNeedTls ? adviceForTls : advice }
}

/** To plain HTTP, a server of TLS sends an alert (RFC 8446, section 6), or closes the connection without a byte. */
function isFromTls(error: unknown): boolean {
  if (error instanceof errors.SocketError) return error.socket?.bytesRead === 0
  const answer = error instanceof errors.HTTPParserError && 'data' in error ? error.data : undefined
  return typeof answer === 'string' && answer.startsWith('\x15\x03')
}

function classify(code: string, message: string): Diagnosis {
  const proxyStatus = /^Proxy (?:response|Authentication Required) \((\d+)\)/.exec(message)?.[1]
  if (proxyStatus !== undefined)
    return [
      'unreachable',
      `the forward proxy answered ${proxyStatus}`,
      'check HTTPS_PROXY and what the proxy allows, or add the host to NO_PROXY',
    ]
  // undici accepts other interim answers.
  if (code === 'UND_ERR_SOCKET' && message === 'bad response')
    return [
      'garbled',
      'it sent 100 (Continue) without being asked for it, which the HTTP client does not accept',
      'see which proxy in front of it does that, and use another address or configure it',
    ]
  if (socketCodes.has(code)) return ['broken', 'the connection broke']
  if (tlsCode.test(code)) return ['untrusted', `TLS: ${tlsReason(message)}`, tlsAdvice(code)]
  if (code.startsWith('HPE_')) return ['garbled', 'what it answered is not HTTP']
  return ['unreachable', redact(message)]
}

/** OpenSSL's reason without its place in the source, Node's without its advice for programmers. */
function tlsReason(message: string): string {
  const reason =
    /:SSL routines:[^:]*:([^:]+):/.exec(message)?.[1] ?? message.split(';')[0] ?? message
  return redact(reason.trim())
}

function tlsAdvice(code: string): string {
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return "its certificate, or this machine's clock, is out of date"
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return 'the url has to name the host as its certificate does'
  if (code === 'EPROTO' || code.startsWith('ERR_SSL')) return 'it may speak plain HTTP on that port'
  return "if the company's own authority signed it, name that one's PEM file: certificateAuthorities of the upstream, --certificate of a command"
}

/** Failures of several addresses arrive as one AggregateError without its own code. */
function firstWithCode(error: unknown): { code: string; message: string } {
  if (error instanceof AggregateError && !('code' in error)) return firstWithCode(error.errors[0])
  if (!(error instanceof Error)) return { code: '', message: inspect(error, { depth: 0 }) }
  // The client's parser has codes for only some of the errors that it detects.
  if (error.name === 'HTTPParserError') return { code: 'HPE_INVALID', message: error.message }
  if ('code' in error && typeof error.code === 'string') {
    const innermost =
      error.cause instanceof Error && error.code === 'UND_ERR_SOCKET'
        ? firstWithCode(error.cause)
        : undefined
    return innermost?.code ? innermost : { code: error.code, message: error.message }
  }
  return error.cause === undefined
    ? { code: '', message: error.message }
    : firstWithCode(error.cause)
}
