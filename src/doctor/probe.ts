import { type ClientRequest, type IncomingMessage, request as requestPlain } from 'node:http'
import { request as requestTls } from 'node:https'
import { isIP } from 'node:net'

/** Milliseconds. A node's firewall drops what is not answered within that time. */
const timeout = 5000

/** The result of `GET /v2/`. */
export type ProbeAnswer =
  | { readonly kind: 'registry'; readonly status: number }
  /** Another HTTP server. */
  | { readonly kind: 'not-registry'; readonly status: number }
  | { readonly kind: 'refused' | 'timeout' | 'untrusted' | 'failed'; readonly reason: string }

export type ProbeOptions = {
  readonly address: string
  readonly port: number
  readonly scheme: 'http' | 'https'
  /** Name of the registry: for the Host header, and to verify its certificate. */
  readonly host: string
  /** Trusted certificate authorities, PEM; undefined: the certificate is not verified. */
  readonly authorities?: readonly string[] | undefined
}

/**
 * Sends the request that a runtime sends. Never rejects. It uses Node's own client instead of
 * `outbound`, because it does what no other request may: it connects to one address of a name, with
 * the Host header and the TLS name of another, trusts only the node's authorities, or none as
 * containerd does for localhost, and uses no forward proxy.
 */
export function probe(options: ProbeOptions): Promise<ProbeAnswer> {
  const { address, port, scheme, host, authorities } = options
  const answered = Promise.withResolvers<ProbeAnswer>()
  const request = {
    host: address,
    port,
    path: '/v2/',
    headers: { host, 'user-agent': 'berth-doctor', connection: 'close' },
    agent: false,
    signal: AbortSignal.timeout(timeout),
  } as const
  const onResponse = (response: IncomingMessage) => {
    response.resume()
    answered.resolve(classify(response))
  }
  const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
  const trust = authorities === undefined ? { rejectUnauthorized: false } : { ca: [...authorities] }
  const sent: ClientRequest =
    scheme === 'http'
      ? requestPlain(request, onResponse)
      : requestTls({ ...request, ...trust, servername: isIP(name) === 0 ? name : '' }, onResponse)
  sent.on('error', (error) => answered.resolve(classifyError(error)))
  sent.end()
  return answered.promise
}

function classify({ statusCode: status = 0, headers }: IncomingMessage): ProbeAnswer {
  const isRegistry =
    String(headers['docker-distribution-api-version'] ?? '').startsWith('registry/2') ||
    (status === 401 && headers['www-authenticate'] !== undefined)
  return { kind: isRegistry ? 'registry' : 'not-registry', status }
}

function classifyError(error: Error): ProbeAnswer {
  const code = 'code' in error ? String(error.code) : error.name
  if (code === 'ECONNREFUSED') return { kind: 'refused', reason: 'connection refused' }
  if (error.name === 'AbortError' || code === 'ABORT_ERR' || code === 'ETIMEDOUT')
    return { kind: 'timeout', reason: `no answer within ${timeout / 1000} seconds` }
  const isUntrusted = /CERT|SELF_SIGNED|UNABLE_TO_|ALTNAME/.test(code)
  const isWithoutTls = code === 'EPROTO' || code.startsWith('ERR_SSL')
  const reason = isWithoutTls ? 'the server does not support TLS' : error.message
  return { kind: isUntrusted ? 'untrusted' : 'failed', reason }
}

/** By plain HTTP, then by TLS if the server does not answer HTTP. Does not verify the certificate. */
export async function probeEitherScheme(
  options: Omit<ProbeOptions, 'scheme' | 'authorities'>,
): Promise<{ readonly scheme: 'http' | 'https'; readonly answer: ProbeAnswer }> {
  const plain = await probe({ ...options, scheme: 'http' })
  if (plain.kind === 'registry' || plain.kind === 'refused' || plain.kind === 'timeout')
    return { scheme: 'http', answer: plain }
  const answer = await probe({ ...options, scheme: 'https' })
  return answer.kind === 'registry' || answer.kind === 'not-registry'
    ? { scheme: 'https', answer }
    : { scheme: 'http', answer: plain }
}

export function describeAnswer(answer: ProbeAnswer): string {
  switch (answer.kind) {
    case 'registry':
      return `a registry answered (${answer.status})`
    case 'not-registry':
      return `an HTTP server answered that is not a registry (${answer.status})`
    case 'refused':
    case 'timeout':
    case 'untrusted':
    case 'failed':
      return answer.reason
  }
}
