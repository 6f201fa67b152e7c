import { readFileSync } from 'node:fs'
import { getCACertificates } from 'node:tls'
import { Agent, type Dispatcher, EnvHttpProxyAgent, Pool } from 'undici'
import { lookupPublic } from './addresses.ts'
import { toUpstreamFailure } from './faults.ts'
import type { Trust } from './origins.ts'

/** In milliseconds, but for the rate. */
export type Timeouts = {
  /** Name lookup, TCP and TLS together. */
  readonly connect: number
  /** From the request to the answer's headers. */
  readonly firstByte: number
  /** Between two pieces of a body. */
  readonly idle: number
  /** Bytes a second below which a body counts as stuck. */
  readonly minimumRate: number
}

/** A company's forward proxy, as HTTPS_PROXY, HTTP_PROXY and NO_PROXY name it. */
export type ForwardProxy = {
  readonly http?: string | undefined
  readonly https?: string | undefined
  readonly no?: string | undefined
}

type Headers = Readonly<Record<string, string | string[] | undefined>>

/** An answer whose body must be read to its end or dropped. */
export type Answer = {
  readonly status: number
  readonly header: (name: string) => string | undefined
  /**
   * Rejects with a RegistryError when it breaks, stalls or trickles. Ending it early drops the
   * connection.
   */
  readonly body: AsyncIterable<Buffer>
  /** Lets go of the body unread. */
  readonly drop: () => void
}

type Request = {
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly url: URL
  readonly trust: Trust
  readonly headers: Record<string, string>
  readonly signal?: AbortSignal | undefined
}

/**
 * One HTTP exchange with one origin: no redirect, no retry, no credential of its own, no decoding.
 */
export interface Transport {
  send(request: Request): Promise<Answer>
  close(): Promise<void>
}

type TransportOptions = {
  readonly timeouts: Timeouts
  /** File of PEM certificates that are trusted beside the system's. */
  readonly certificateAuthorities?: string | undefined
  readonly proxy?: ForwardProxy | undefined
  readonly userAgent: string
}

/**
 * Artifact Registry's redirects carry tokens of 2 KB, others' more; Node's own limit of 16 KiB is
 * for all headers together.
 */
const longestHeaders = 64 * 1024
/**
 * A kept connection is not used again after this, in milliseconds: servers end theirs after some
 * seconds.
 */
const keepAlive = 10_000
/** How long a body may trickle before its rate is judged, in milliseconds of waiting. */
const rateWindow = 10_000
/** A small rest is read, so that the connection can be used again, in bytes. */
const worthReading = 64 * 1024

export function createTransport({
  timeouts,
  certificateAuthorities,
  proxy,
  userAgent,
}: TransportOptions): Transport {
  const ca = certificateAuthorities && [
    ...getCACertificates('default'),
    readFileSync(certificateAuthorities, 'utf8'),
  ]
  const connect = { timeout: timeouts.connect, ...(ca && { ca }), autoSelectFamily: true }
  const open = createDispatcher({ connect, proxy })
  const guarded = createDispatcher({ connect: { ...connect, lookup: lookupPublic }, proxy })

  return {
    send: async ({ method, url, trust, headers, signal }) => {
      const dispatcher = trust === 'foreign' ? guarded : open
      try {
        const answer = await dispatcher.request({
          origin: url.origin,
          path: url.pathname + url.search,
          method,
          headers: { 'user-agent': userAgent, 'accept-encoding': 'identity', ...headers },
          headersTimeout: timeouts.firstByte,
          bodyTimeout: timeouts.idle,
          ...(signal && { signal }),
        })
        return answerOf(answer, url.origin, timeouts.minimumRate)
      } catch (error) {
        throw toUpstreamFailure(error, url.origin)
      }
    },
    close: async () => {
      await Promise.all([open.destroy(), guarded.destroy()])
    },
  }
}

type DispatcherOptions = {
  readonly connect: { readonly timeout: number; readonly lookup?: typeof lookupPublic }
  readonly proxy: ForwardProxy | undefined
}

function createDispatcher({ connect, proxy }: DispatcherOptions): Agent | EnvHttpProxyAgent {
  // HTTP/1.1: a blob has a connection, and its flow control, of its own.
  const options = {
    connect,
    allowH2: false,
    maxHeaderSize: longestHeaders,
    keepAliveTimeout: keepAlive,
    keepAliveMaxTimeout: keepAlive,
  }
  if (proxy?.http === undefined && proxy?.https === undefined) return new Agent(options)
  return new EnvHttpProxyAgent({
    ...options,
    requestTls: connect,
    connectTimeout: connect.timeout,
    // A tunnel is a part of the connection, and has its time limit.
    clientFactory: (origin, client) =>
      new Pool(origin, { ...client, headersTimeout: connect.timeout }),
    httpProxy: proxy.http ?? '',
    httpsProxy: proxy.https ?? '',
    // As Go does it, which the registries that people come from are written in.
    noProxy: [proxy.no ?? '', 'localhost', '127.0.0.1', '::1'].filter(Boolean).join(','),
  })
}

function answerOf(
  { statusCode, headers, body }: Dispatcher.ResponseData,
  origin: string,
  minimumRate: number,
): Answer {
  // The body may fail before anybody reads it, and an error that nobody listens for ends the
  // process.
  body.on('error', () => {})
  return {
    status: statusCode,
    header: (name) => single(headers, name),
    body: paced({ body, origin, minimumRate }),
    drop: () => void body.dump({ limit: worthReading }).catch(() => {}),
  }
}

/** A header that comes twice comes from somebody who wants two readers to disagree. */
function single(headers: Headers, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

type PacedOptions = {
  readonly body: AsyncIterable<Buffer>
  readonly origin: string
  readonly minimumRate: number
}

/**
 * The client's own limit is for silence only: a byte a second satisfies it for ever. Time that the
 * reader takes does not count.
 */
async function* paced({
  body,
  origin,
  minimumRate,
}: PacedOptions): AsyncGenerator<Buffer, void, undefined> {
  let waited = 0
  let received = 0
  let since = performance.now()
  try {
    for await (const chunk of body) {
      waited += performance.now() - since
      received += chunk.length
      if (waited > rateWindow) {
        if (received / waited < minimumRate / 1000)
          throw Object.assign(new Error('trickle'), { code: 'UND_ERR_BODY_TIMEOUT' })
        waited = received = 0
      }
      yield chunk
      since = performance.now()
    }
  } catch (error) {
    throw toUpstreamFailure(error, origin)
  }
}
