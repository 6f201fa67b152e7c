import { type ClientRequest, type IncomingMessage, request as requestPlain } from 'node:http'
import { request as requestTls } from 'node:https'
import { isIP } from 'node:net'

/** Milliseconds: a node that says nothing to itself for longer drops it. */
const patience = 5000

/** What came of `GET /v2/`. */
export type Answer =
  | { readonly kind: 'registry'; readonly status: number }
  /** Somebody else's HTTP server. */
  | { readonly kind: 'stranger'; readonly status: number }
  | { readonly kind: 'refused' | 'silent' | 'untrusted' | 'failed'; readonly reason: string }

export type Question = {
  readonly address: string
  readonly port: number
  readonly scheme: 'http' | 'https'
  /** As the registry is named: for the Host header, and for its certificate. */
  readonly host: string
  /** PEM of those who may sign its certificate; undefined: anybody. */
  readonly authorities?: readonly string[] | undefined
}

/** Asks as a runtime does. Never rejects. */
export function ask({ address, port, scheme, host, authorities }: Question): Promise<Answer> {
  const answered = Promise.withResolvers<Answer>()
  const options = {
    host: address,
    port,
    path: '/v2/',
    headers: { host, 'user-agent': 'berth-doctor', connection: 'close' },
    agent: false,
    signal: AbortSignal.timeout(patience),
  } as const
  const onResponse = (response: IncomingMessage) => {
    response.resume()
    answered.resolve(read(response))
  }
  const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
  const trust = authorities === undefined ? { rejectUnauthorized: false } : { ca: [...authorities] }
  const sent: ClientRequest =
    scheme === 'http'
      ? requestPlain(options, onResponse)
      : requestTls({ ...options, ...trust, servername: isIP(name) === 0 ? name : '' }, onResponse)
  sent.on('error', (error) => answered.resolve(explain(error)))
  sent.end()
  return answered.promise
}

function read({ statusCode: status = 0, headers }: IncomingMessage): Answer {
  const isRegistry =
    String(headers['docker-distribution-api-version'] ?? '').startsWith('registry/2') ||
    (status === 401 && headers['www-authenticate'] !== undefined)
  return { kind: isRegistry ? 'registry' : 'stranger', status }
}

function explain(error: Error): Answer {
  const code = 'code' in error ? String(error.code) : error.name
  if (code === 'ECONNREFUSED') return { kind: 'refused', reason: 'connection refused' }
  if (error.name === 'AbortError' || code === 'ABORT_ERR' || code === 'ETIMEDOUT')
    return { kind: 'silent', reason: `no answer within ${patience / 1000} seconds` }
  const isUntrusted = /CERT|SELF_SIGNED|UNABLE_TO_|ALTNAME/.test(code)
  const isNoTls = code === 'EPROTO' || code.startsWith('ERR_SSL')
  const reason = isNoTls ? 'what listens there does not speak TLS' : error.message
  return { kind: isUntrusted ? 'untrusted' : 'failed', reason }
}

/** By plain HTTP, and by TLS if that is not understood; whoever signed. */
export async function askEither(
  question: Omit<Question, 'scheme' | 'authorities'>,
): Promise<{ readonly scheme: 'http' | 'https'; readonly answer: Answer }> {
  const plain = await ask({ ...question, scheme: 'http' })
  if (plain.kind === 'registry' || plain.kind === 'refused' || plain.kind === 'silent')
    return { scheme: 'http', answer: plain }
  const answer = await ask({ ...question, scheme: 'https' })
  return answer.kind === 'registry' || answer.kind === 'stranger'
    ? { scheme: 'https', answer }
    : { scheme: 'http', answer: plain }
}

/** In words. */
export function describeAnswer(answer: Answer): string {
  switch (answer.kind) {
    case 'registry':
      return `a registry answers (${answer.status})`
    case 'stranger':
      return `something answers that is no registry (${answer.status})`
    case 'refused':
    case 'silent':
    case 'untrusted':
    case 'failed':
      return answer.reason
  }
}
