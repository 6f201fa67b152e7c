import { Agent } from 'node:https'
import type { gaxios } from 'google-auth-library'
import {
  type Connections,
  describeFault,
  type Outbound,
  requestWhole,
} from '../../outbound/outbound.ts'

/** How the library speaks HTTP. */
export type Transport = gaxios.Gaxios

/** In milliseconds. Ends before whoever waits gives up, and so can say what did not answer. */
export const usualDeadline = 9000

/** In bytes. */
const longestAnswer = 256 * 1024

type TransportOptions = {
  /** In milliseconds. */
  readonly deadline: number
  readonly outbound: Outbound
  readonly certificateAuthorities?: string | undefined
  /** Past any proxy: for what is on this machine. */
  readonly direct?: boolean
}

/**
 * What all requests of one exchange go through. The library waits for ever otherwise, and goes on
 * when nobody waits any more; and it follows redirects, with the subject token, to whomever they
 * name. A failure of Google's is tried twice more, within a second.
 */
export async function withTransport<Result>(
  { deadline, outbound, certificateAuthorities, direct = false }: TransportOptions,
  work: (transport: Transport) => Promise<Result>,
): Promise<Result> {
  const { gaxios } = await import('google-auth-library')
  const end = new AbortController()
  // A reason other than a time-out, which the library would try again.
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
  transport.interceptors.response.add({ rejected: (error) => askWithSlash(error, transport) })
  try {
    return await work(transport)
  } finally {
    clearTimeout(timer)
    end.abort(new Error('nobody waits for it any more'))
    await Promise.all(connections.map((each) => each.destroy()))
  }
}

/** With an agent of ours the library does not look for a proxy in the environment by itself. */
const noAgent = new Agent()

type ClientCertificate = { readonly cert: string; readonly key: string }

/** What the library takes for `fetch`: no redirect is followed, and no answer is without end. */
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
        maxBytes: longestAnswer,
      })
      const hasBody = status !== 204 && status !== 304
      return new Response(hasBody ? new Uint8Array(body) : null, { status, headers })
    } catch (error) {
      if (init.signal?.aborted) throw Object.assign(new Error('aborted'), { code: 'AbortError' })
      const { code, why } = describeFault(error)
      throw Object.assign(new Error(why), { code })
    }
  }
}

/** The library hands on a client's certificate by an agent that has it. */
function certificateOf(agent: unknown): ClientCertificate | undefined {
  if (!(agent instanceof Agent)) return undefined
  const { cert, key } = agent.options
  return cert && key ? { cert: String(cert), key: String(key) } : undefined
}

/**
 * Some of AWS's metadata services lead from a directory's name to the same with a slash behind it,
 * which the library leaves out. That alone is followed, and nothing with a body.
 */
async function askWithSlash(error: gaxios.GaxiosError, transport: Transport): Promise<unknown> {
  const location = error.response?.headers.get('location')
  if (!location) throw error
  const { url, method, headers, responseType } = error.config
  const target = URL.parse(location)?.href
  if (method !== 'GET' || url.href.endsWith('/') || target !== `${url.href}/`) throw error
  return transport.request({ url: target, headers, ...(responseType && { responseType }) })
}
