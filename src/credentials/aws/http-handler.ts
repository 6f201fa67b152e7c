import { Readable } from 'node:stream'
import { describeFault, type Outbound, requestWhole } from '../../outbound/outbound.ts'

/** In milliseconds. Two attempts at each of two services stay below the exchange's deadline. */
const connectTimeout = 1500
const requestTimeout = 3000
/** In bytes: tokens and keys are a few KB. */
const maxResponseBytes = 256 * 1024

/** The network route to AWS. */
export type Route = {
  readonly outbound: Outbound
  readonly certificateAuthorities: string | undefined
}

/** HttpRequest of @smithy/types. */
export type AwsRequest = {
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
 * The HTTP handler of AWS's library. It uses our connections, because the library's own handlers support
 * neither CIDR ranges in NO_PROXY nor the system's certificates. Each request opens a connection: the
 * next one is hours away.
 */
export function createAwsHandler({ outbound, certificateAuthorities }: Route) {
  return {
    metadata: { handlerProtocol: 'http/1.1' },
    handle: async (request: AwsRequest, { abortSignal }: { abortSignal?: unknown } = {}) => {
      const connections = outbound.open({ timeout: connectTimeout, certificateAuthorities })
      const timeout = AbortSignal.timeout(requestTimeout)
      const signal =
        abortSignal instanceof AbortSignal ? AbortSignal.any([timeout, abortSignal]) : timeout
      try {
        const { status, headers, body } = await requestWhole(connections, {
          url: urlOf(request),
          method: request.method,
          headers: withoutHopByHop(request.headers),
          body: bodyOf(request.body),
          signal,
          maxBytes: maxResponseBytes,
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

/** As an error of Node's HTTP client: the library decides by name and code whether to retry. */
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

/** Undici manages the connection, and sends the same Host header as the signed one. */
function withoutHopByHop(headers: Readonly<Record<string, string>>): Record<string, string> {
  const { connection: _connection, expect: _expect, ...rest } = headers
  return rest
}

function bodyOf(body: unknown): string | Uint8Array | undefined {
  return typeof body === 'string' || body instanceof Uint8Array ? body : undefined
}
