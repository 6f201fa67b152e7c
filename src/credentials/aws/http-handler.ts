import { Readable } from 'node:stream'
import { describeFault, type Outbound, requestWhole } from '../../outbound/outbound.ts'

/** In milliseconds. Two attempts, and whoever needs two services, stay below the exchange's limit. */
const connectTimeout = 1500
const requestTimeout = 3000
/** In bytes: tokens and keys are a few KB. */
const maxAnswer = 256 * 1024

/** How AWS is reached. */
export type Route = {
  readonly outbound: Outbound
  readonly certificateAuthorities: string | undefined
}

/** What AWS's library asks for; see HttpRequest of @smithy/types. */
type AwsRequest = {
  readonly protocol: string
  readonly hostname: string
  readonly port?: number
  readonly path: string
  readonly query?: Readonly<Record<string, string | string[] | null>>
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: unknown
}

/**
 * How AWS's library speaks HTTP: by our connections, which are opened for each request, as the next one
 * is hours away. Its own handlers know neither NO_PROXY's ranges nor the system's authorities.
 */
export function createAwsHandler({ outbound, certificateAuthorities }: Route) {
  return {
    metadata: { handlerProtocol: 'http/1.1' },
    handle: async (request: AwsRequest, { abortSignal }: { abortSignal?: unknown } = {}) => {
      const connections = outbound.open({ timeout: connectTimeout, certificateAuthorities })
      const late = AbortSignal.timeout(requestTimeout)
      const signal =
        abortSignal instanceof AbortSignal ? AbortSignal.any([late, abortSignal]) : late
      try {
        const { status, headers, body } = await requestWhole(connections, {
          url: urlOf(request),
          method: request.method,
          headers: withoutHopByHop(request.headers),
          body: bodyOf(request.body),
          signal,
          maxBytes: maxAnswer,
        })
        return { response: { statusCode: status, headers, body: Readable.from([body]) } }
      } catch (error) {
        throw asNodeError(error)
      } finally {
        await connections.destroy()
      }
    },
    destroy: () => {},
    updateHttpClientConfig: () => {},
    httpHandlerConfigs: () => ({}),
  }
}

/** In the words by which the library decides what to try again: those of Node's own client. */
function asNodeError(error: unknown): Error {
  const { fault, code, why } = describeFault(error)
  if (error instanceof Error && error.name === 'TimeoutError') return error
  if (fault === 'slow' || code === 'UND_ERR_CONNECT_TIMEOUT')
    return Object.assign(new Error(why), { name: 'TimeoutError' })
  return Object.assign(new Error(why), { code: fault === 'broken' ? 'ECONNRESET' : code })
}

function urlOf({ protocol, hostname, port, path, query = {} }: AwsRequest): URL {
  const url = new URL(`${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${path}`)
  for (const [name, value] of Object.entries(query))
    for (const each of [value].flat()) url.searchParams.append(name, each ?? '')
  return url
}

/** The connection is ours; its signed Host header is what undici would send. */
function withoutHopByHop(headers: Readonly<Record<string, string>>): Record<string, string> {
  const { connection: _connection, expect: _expect, ...rest } = headers
  return rest
}

function bodyOf(body: unknown): string | Uint8Array | undefined {
  return typeof body === 'string' || body instanceof Uint8Array ? body : undefined
}
