import { Agent } from 'node:https'
import type { gaxios } from 'google-auth-library'
import {
  type Connections,
  describeFault,
  type Outbound,
  requestWhole,
} from '../../outbound/outbound.ts'

/** The library's HTTP client. */
export type Transport = gaxios.Gaxios

/** In milliseconds. Shorter than the deadline of keep-fresh, so that the error names the service. */
export const defaultDeadline = 9000

/** In bytes. */
const maxResponseBytes = 256 * 1024

type TransportOptions = {
  /** In milliseconds. */
  readonly deadline: number
  readonly outbound: Outbound
  readonly certificateAuthorities?: string | undefined
  /** Without a proxy: for services on this machine. */
  readonly direct?: boolean
}

/**
 * All requests of one exchange use this transport. The library's own has no timeout, continues after
 * its caller has stopped waiting, and follows redirects with the subject token to any host. A server
 * error is retried twice, within a second.
 */
export async function withTransport<Result>(
  { deadline, outbound, certificateAuthorities, direct = false }: TransportOptions,
  work: (transport: Transport) => Promise<Result>,
): Promise<Result> {
  const { gaxios } = await import('google-auth-library')
  const end = new AbortController()
  // Not a TimeoutError, which the library would retry.
  const timer = setTimeout(
    () => end.abort(new Error(`no answer within ${deadline / 1000} seconds`)),
    deadline,
  )
  const connections: Connections[] = []
  const retryConfig = { retry: 2, noResponseRetries: 1 }
  const transport = new gaxios.Gaxios({
    signal: end.signal,
    retryConfig,
    agent: noAgent,
    fetchImplementation: createFetch((certificate) => {
      const opened = outbound.open({
        timeout: deadline,
        certificateAuthorities,
        direct,
        ...(certificate && { clientCertificate: certificate }),
      })
      connections.push(opened)
      return opened
    }),
  })
  transport.interceptors.response.add({ rejected: (error) => retryWithSlash(error, transport) })
  try {
    return await work(transport)
  } finally {
    clearTimeout(timer)
    end.abort(new Error('the exchange has ended'))
    await Promise.all(connections.map((each) => each.destroy()))
  }
}

/** With an agent, the library does not read proxies from the environment. */
const noAgent = new Agent()

type ClientCertificate = { readonly cert: string; readonly key: string }

/** The library's `fetch`: it follows no redirect, and limits the size of responses. */
function createFetch(open: (certificate: ClientCertificate | undefined) => Connections) {
  return async (
    input: string | URL | Request,
    init: RequestInit & { readonly agent?: unknown } = {},
  ): Promise<Response> => {
    const url = new URL(input instanceof Request ? input.url : input)
    try {
      const { status, headers, body } = await requestWhole(open(certificateOf(init.agent)), {
        url,
        method: init.method ?? 'GET',
        headers: Object.fromEntries(new Headers(init.headers)),
        body: init.body ? String(init.body) : undefined,
        signal: init.signal ?? undefined,
        maxBytes: maxResponseBytes,
      })
      const hasBody = status !== 204 && status !== 304
      return new Response(hasBody ? new Uint8Array(body) : null, { status, headers })
    } catch (error) {
      if (init.signal?.aborted) throw Object.assign(new Error('aborted'), { code: 'AbortError' })
      const { code, why: result } = describeFault(error)
      throw Object.assign(new Error(result), { code })
    }
  }
}

/** The library passes a client certificate as the option of an agent. */
function certificateOf(agent: unknown): ClientCertificate | undefined {
  if (!(agent instanceof Agent)) return undefined
  const { cert, key } = agent.options
  return cert && key ? { cert: String(cert), key: String(key) } : undefined
}

/**
 * Some AWS metadata services redirect from a directory's URL to the same URL with a trailing slash,
 * which the library omits. Only that redirect is followed, and only for GET.
 */
async function retryWithSlash(error: gaxios.GaxiosError, transport: Transport): Promise<unknown> {
  const location = error.response?.headers.get('location')
  if (!location) throw error
  const { url, method, headers, responseType } = error.config
  const target = URL.parse(location)?.href
  if (method !== 'GET' || url.href.endsWith('/') || target !== `${url.href}/`) throw error
  return transport.request({ url: target, headers, ...(responseType && { responseType }) })
}
