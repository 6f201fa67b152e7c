import { readFile } from 'node:fs/promises'
import { getCACertificates } from 'node:tls'
import { Agent, type Dispatcher, EnvHttpProxyAgent, request } from 'undici'
import { CredentialError } from './credential-error.ts'
import type { ForwardProxy } from './credentials.ts'
import { quote } from './quote.ts'

/** From the request to the end of the answer, in milliseconds: two fit into an exchange's deadline. */
const patience = 4500
const connectPatience = 3000
/** In bytes. */
const longestAnswer = 256 * 1024

export type ServiceAnswer = { readonly status: number; readonly body: string }

/** How a service is reached. */
export type Route = {
  /** Without it the service is asked directly. */
  readonly proxy?: ForwardProxy | undefined
  /** File of PEM certificates that are trusted beside the system's: proxies that look into TLS need it. */
  readonly certificateAuthorities?: string | undefined
}

type Question = {
  readonly url: URL
  readonly route?: Route
  readonly headers?: Readonly<Record<string, string>>
  /** Posted; without it the service is asked by GET. */
  readonly form?: Readonly<Record<string, string>>
  /** Until there is a connection, in milliseconds. */
  readonly connectTimeout?: number
  /** What to do when it cannot be reached. */
  readonly advice: string
}

/**
 * One request to a service that gives out tokens. No redirect is followed: what is shown here is
 * meant for this service alone. The connection is not kept: it would be an hour old when it is wanted
 * again.
 * @throws CredentialError when there is no whole answer in time.
 */
export async function askService({
  url,
  route = {},
  headers = {},
  form,
  connectTimeout = connectPatience,
  advice,
}: Question): Promise<ServiceAnswer> {
  const dispatcher = await createDispatcher(route, connectTimeout)
  try {
    const answer = await request(url, {
      dispatcher,
      method: form === undefined ? 'GET' : 'POST',
      headers: {
        accept: 'application/json',
        ...(form && { 'content-type': 'application/x-www-form-urlencoded' }),
        ...headers,
      },
      ...(form && { body: new URLSearchParams(form).toString() }),
      signal: AbortSignal.timeout(patience),
    })
    return { status: answer.statusCode, body: await readText(answer.body) }
  } catch (error) {
    const message = `cannot reach ${url.origin}: ${reasonOf(error)}`
    throw new CredentialError(message, { advice, cause: error })
  } finally {
    await dispatcher.destroy()
  }
}

async function createDispatcher(
  { proxy, certificateAuthorities: file }: Route,
  timeout: number,
): Promise<Dispatcher> {
  const ca = file === undefined ? undefined : await readAuthorities(file)
  const connect = { timeout, autoSelectFamily: true, ...(ca && { ca }) }
  if (proxy?.http === undefined && proxy?.https === undefined) return new Agent({ connect })
  return new EnvHttpProxyAgent({
    connect,
    requestTls: connect,
    httpProxy: proxy.http ?? '',
    httpsProxy: proxy.https ?? '',
    // As remote/transport does it.
    noProxy: [proxy.no ?? '', 'localhost', '127.0.0.1', '::1'].filter(Boolean).join(','),
  })
}

async function readAuthorities(file: string): Promise<string[]> {
  try {
    return [...getCACertificates('default'), await readFile(file, 'utf8')]
  } catch (cause) {
    throw new CredentialError(`${file} cannot be read`, {
      advice: 'certificateAuthorities must name a PEM file that Berth can read',
      cause,
    })
  }
}

async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > longestAnswer) throw new Error(`its answer is longer than ${longestAnswer} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

const reasons: Readonly<Record<string, string>> = {
  ENOTFOUND: 'its name does not resolve',
  EAI_AGAIN: 'its name cannot be looked up at the moment',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection broke',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  UND_ERR_SOCKET: 'the connection broke',
  UND_ERR_CONNECT_TIMEOUT: 'no connection within the time limit',
}

const tlsCode = /^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO)/

function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && !('code' in error)) return reasonOf(error.errors[0])
  if (!(error instanceof Error)) return quote(String(error))
  if (error.name === 'TimeoutError') return `no answer within ${patience / 1000} seconds`
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  if (tlsCode.test(code))
    return `TLS: ${quote(error.message)} (certificateAuthorities adds a company's own)`
  return reasons[code] ?? quote(error.message)
}
