import {
  type Connections,
  createOutbound,
  describeFault,
  type Outbound,
  requestWhole,
} from '../outbound/outbound.ts'
import { CredentialError } from './credential-error.ts'
import { quote } from './quote.ts'

/** Until the end of the response, in milliseconds: two requests fit into an exchange's deadline. */
const requestTimeout = 4500
const defaultConnectTimeout = 3000
/** In bytes. */
const maxResponseBytes = 256 * 1024

export type ServiceResponse = { readonly status: number; readonly body: string }

/** The network route to a service. */
export type Route = {
  /** By default requests use no proxy. */
  readonly outbound?: Outbound | undefined
  /** A file of PEM certificates to trust in addition to the system's, for proxies that intercept TLS. */
  readonly certificateAuthorities?: string | undefined
}

type ServiceRequest = {
  readonly url: URL
  readonly route?: Route
  readonly headers?: Readonly<Record<string, string>>
  /** The body of a POST; by default the request is a GET. */
  readonly form?: Readonly<Record<string, string>>
  /** In milliseconds. */
  readonly connectTimeout?: number
  /** What to do when the service cannot be reached. */
  readonly advice: string
}

/**
 * One request to a service that issues tokens. Redirects are not followed, because the request contains
 * a credential for this service only. The connection is closed, because the next request is an hour away.
 * @throws CredentialError when there is no complete response in time.
 */
export async function requestService({
  url,
  route = {},
  headers = {},
  form,
  connectTimeout = defaultConnectTimeout,
  advice,
}: ServiceRequest): Promise<ServiceResponse> {
  const connections = openConnections(route, connectTimeout)
  try {
    const { status, body } = await requestWhole(connections, {
      url,
      method: form === undefined ? 'GET' : 'POST',
      headers: {
        accept: 'application/json',
        ...(form && { 'content-type': 'application/x-www-form-urlencoded' }),
        ...headers,
      },
      body: form && new URLSearchParams(form).toString(),
      signal: AbortSignal.timeout(requestTimeout),
      maxBytes: maxResponseBytes,
    })
    return { status, body: body.toString('utf8') }
  } catch (error) {
    const message = `cannot reach ${url.origin}: ${describeError(error)}`
    throw new CredentialError(message, { advice, cause: error })
  } finally {
    await connections.destroy()
  }
}

function openConnections(
  { outbound, certificateAuthorities: file }: Route,
  timeout: number,
): Connections {
  const direct = outbound === undefined
  try {
    return (outbound ?? createOutbound()).open({ timeout, certificateAuthorities: file, direct })
  } catch (cause) {
    throw new CredentialError(`cannot read ${file}`, {
      advice: 'set upstreams[].certificateAuthorities to a PEM file that Berth can read',
      cause,
    })
  }
}

function describeError(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError')
    return `no answer within ${requestTimeout / 1000} seconds`
  const { fault, why: reason } = describeFault(error)
  const hint =
    fault === 'untrusted'
      ? ' (upstreams[].certificateAuthorities adds a private certificate authority)'
      : ''
  return `${quote(reason)}${hint}`
}
