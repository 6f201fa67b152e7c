import type { Dispatcher } from 'undici'
import type { Connections, Outbound } from '../outbound/outbound.ts'
import { type Body, type BodySink, createBodySink } from './body.ts'
import { toUpstreamFailure } from './faults.ts'
import type { ListField, Trust } from './origins.ts'
import { createUploadStream, type UploadBody } from './upload-body.ts'

/** In milliseconds, except the rate. */
type Timeouts = {
  /** Name lookup, TCP and TLS together. */
  readonly connect: number
  /** From the request to the answer's headers. */
  readonly firstByte: number
  /** Between two pieces of a body. */
  readonly idle: number
  /** Minimum rate in bytes per second; a slower body counts as stalled. */
  readonly minimumRate: number
}

/** An answer whose body must be read to its end, or dropped. */
export type Answer = {
  readonly status: number
  readonly header: (name: string) => string | undefined
  readonly body: Body
  /** Discards the unread body. */
  readonly drop: () => void
  /** Resolves when the connection has finished with the body. */
  readonly settled: Promise<void>
}

export type Request = {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  readonly url: URL
  readonly trust: Trust
  /** The upstream's field that would allow this origin, for the message of a refusal. */
  readonly listedUnder?: ListField | undefined
  readonly headers: Record<string, string>
  readonly body?: string | Buffer | UploadBody | undefined
  /**
   * Milliseconds until the answer's headers, if less than the default. An upload has limits of its own.
   */
  readonly firstByte?: number | undefined
  /** `firstByte` begins anew with each interim answer, such as 102 (Processing), and holds for uploads as well. */
  readonly isPatient?: boolean | undefined
  /** Milliseconds between two pieces of the answer's body, if not the default. */
  readonly idle?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** On a connection that no other request has used or will use. */
  readonly isFresh?: boolean | undefined
}

/** Minimum time from the end of an upload to the answer's headers, in milliseconds. */
const minUploadAnswer = 300_000
/** An upstream is expected to verify and store at least so many bytes per second. */
const minVerified = 4 * 1024 * 1024

/**
 * One HTTP exchange with one origin: no redirect, no retry, no credential of its own, no decoding.
 */
export interface Transport {
  send(request: Request): Promise<Answer>
  close(): Promise<void>
}

type TransportOptions = {
  readonly timeouts: Timeouts
  readonly outbound: Outbound
  /** The upstream's own host. */
  readonly host: string
  /** File of PEM certificates that are trusted in addition to the system's. */
  readonly certificateAuthorities?: string | undefined
  /** The name in the upstream's certificate, if it is not its host. */
  readonly serverName?: string | undefined
  readonly userAgent: string
  /** Bypasses any forward proxy. */
  readonly isDirect?: boolean | undefined
}

export function createTransport({
  timeouts,
  outbound,
  host,
  certificateAuthorities,
  serverName,
  userAgent,
  isDirect = false,
}: TransportOptions): Transport {
  const shared = { timeout: timeouts.connect, certificateAuthorities, direct: isDirect }
  const options = {
    own: { ...shared, serverName },
    listed: shared,
    sibling: { ...shared, addresses: { privateLike: host } },
    foreign: { ...shared, addresses: 'public' },
  } as const
  const listed = outbound.open(options.listed)
  const pools = {
    own: serverName === undefined ? listed : outbound.open(options.own),
    listed,
    sibling: outbound.open(options.sibling),
    foreign: outbound.open(options.foreign),
  }
  const fresh = new Set<Connections>()

  /** With connections that are closed after the answer. */
  const sendAlone = async (trust: Trust, send: (on: Dispatcher) => Promise<Answer>) => {
    const connections = outbound.open(options[trust])
    fresh.add(connections)
    const close = () => {
      fresh.delete(connections)
      return connections.destroy()
    }
    try {
      const answer = await send(connections.dispatcher)
      void answer.settled.then(close)
      return answer
    } catch (error) {
      await close()
      throw error
    }
  }

  return {
    send: ({
      method,
      url,
      trust,
      listedUnder,
      headers,
      body,
      signal,
      firstByte = timeouts.firstByte,
      idle = timeouts.idle,
      isPatient = false,
      isFresh = false,
    }) => {
      const request = {
        origin: url.origin,
        path: url.pathname + url.search,
        method,
        headers: { 'user-agent': userAgent, 'accept-encoding': 'identity', ...headers },
        bodyTimeout: idle,
      }
      const headersTimeout = Math.min(firstByte, timeouts.firstByte)
      const send = (dispatcher: Dispatcher) =>
        dispatch({
          ...{
            dispatcher,
            request,
            body,
            headersTimeout,
            isPatient,
            listedUnder,
            signal,
            timeouts,
          },
        })
      return isFresh ? sendAlone(trust, send) : send(pools[trust].dispatcher)
    },
    close: async () => {
      const all = [...Object.values(pools), ...fresh]
      await Promise.all(all.map((each) => each.destroy()))
    },
  }
}

type DispatchOptions = {
  readonly dispatcher: Dispatcher
  readonly request: Dispatcher.DispatchOptions & { readonly origin: string }
  readonly body: Request['body']
  /** Milliseconds; not of an upload. */
  readonly headersTimeout: number
  readonly isPatient: boolean
  readonly listedUnder: ListField | undefined
  readonly signal: AbortSignal | undefined
  readonly timeouts: Timeouts
}

/** Resolves with the answer's headers; its body follows as a stream. */
function dispatch({
  dispatcher,
  request,
  body,
  headersTimeout,
  isPatient,
  listedUnder,
  signal,
  timeouts,
}: DispatchOptions): Promise<Answer> {
  const { origin } = request
  const answer = Promise.withResolvers<Answer>()
  let sink: BodySink | undefined
  let stopListening = () => {}
  let firstByteTimer: NodeJS.Timeout | undefined
  let abortLate = () => {}
  const sent = openBody(
    body,
    { ...timeouts, patient: isPatient ? headersTimeout : undefined },
    () => abortLate(),
  )
  const startTimer = () => {
    clearTimeout(firstByteTimer)
    if (!sent.isUpload) firstByteTimer = setTimeout(abortLate, headersTimeout)
  }
  const stopTimers = () => {
    clearTimeout(firstByteTimer)
    sent.answered()
  }
  // The client's own timeout detects silence only: 1XX answers restart it.
  const limits = { headersTimeout: sent.isUpload ? 0 : headersTimeout }

  dispatcher.dispatch(
    { ...request, ...limits, ...sent.part },
    {
      onRequestStart: (controller) => {
        abortLate = () => controller.abort(late())
        startTimer()
        const abort = () => controller.abort(asError(signal?.reason))
        if (signal?.aborted) return abort()
        signal?.addEventListener('abort', abort, { once: true })
        stopListening = () => signal?.removeEventListener('abort', abort)
      },
      onResponseStart: (controller, status, headers) => {
        // 1XX precedes the final answer.
        if (status < 200) {
          if (isPatient) sent.isUpload ? sent.isAlive() : startTimer()
          return
        }
        stopTimers()
        const header = (name: string) => joined(headers[name])
        const length = request.method === 'HEAD' ? 0 : lengthIn(header('content-length'))
        sink = createBodySink({ controller, origin, length, minimumRate: timeouts.minimumRate })
        answer.resolve({ status, header, body: sink.body, drop: sink.drop, settled: sink.settled })
      },
      onResponseData: (_controller, chunk) => sink?.push(chunk),
      onResponseEnd: () => {
        stopListening()
        sink?.end()
      },
      onResponseError: (_controller, error) => {
        stopTimers()
        stopListening()
        answer.reject(toUpstreamFailure(error, origin, listedUnder))
        sink?.fail(error)
      },
    },
  )
  return answer.promise
}

/** What the HTTP client sends, and the limits of an upload. `patient`: of a receiver that sends interim answers. */
function openBody(
  body: Request['body'],
  { idle, firstByte, patient }: Timeouts & { readonly patient: number | undefined },
  onLate: () => void,
) {
  if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) {
    const part = body === undefined ? {} : { body }
    return { part, isUpload: false, isAlive: () => {}, answered: () => {} }
  }
  const { size, verified = size ?? 0 } = body
  const answer = Math.max(firstByte, minUploadAnswer) + (verified / minVerified) * 1000
  const limits = { idle, answer: patient ?? answer, onLate }
  const { stream, ...upload } = createUploadStream(body, limits)
  return { part: { body: stream }, isUpload: true, ...upload }
}

function late(): Error {
  return Object.assign(new Error('no final answer'), { code: 'UND_ERR_HEADERS_TIMEOUT' })
}

/**
 * Joins a header that occurs several times into one list (RFC 9110, section 5.3). Proxies may repeat one that
 * is no list, such as Docker-Content-Digest.
 */
function joined(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? [...new Set(value)].join(', ') : value
}

/** Content-Length in bytes; undefined when it is missing or invalid. */
export function lengthIn(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : undefined
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('no longer wanted')
}
