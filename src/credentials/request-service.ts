import {
  type Connections,
  createOutbound,
  describeFault,
  type Outbound,
  requestWhole,
} from '../outbound/outbound.ts'
import { CredentialError } from './credential-error.ts'
import { quote } from './quote.ts'

/** From the request to the end of the answer, in milliseconds: two fit into an exchange's deadline. */
const patience = 4500
const connectPatience = 3000
/** In bytes. */
const longestAnswer = 256 * 1024

export type ServiceAnswer = { readonly status: number; readonly body: string }

/** How a service is reached. */
export type Route = {
  /** Without it the service is asked directly, past any proxy. */
  readonly outbound?: Outbound | undefined
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
  const connections = open(route, connectTimeout)
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
      signal: AbortSignal.timeout(patience),
      maxBytes: longestAnswer,
    })
    return { status, body: body.toString('utf8') }
  } catch (error) {
    const message = `cannot reach ${url.origin}: ${reasonOf(error)}`
    throw new CredentialError(message, { advice, cause: error })
  } finally {
    await connections.destroy()
  }
}

function open({ outbound, certificateAuthorities: file }: Route, timeout: number): Connections {
  const direct = outbound === undefined
  try {
    return (outbound ?? createOutbound()).open({ timeout, certificateAuthorities: file, direct })
  } catch (cause) {
    throw new CredentialError(`${file} cannot be read`, {
      advice: 'certificateAuthorities must name a PEM file that Berth can read',
      cause,
    })
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError')
    return `no answer within ${patience / 1000} seconds`
  const { fault, why } = describeFault(error)
  const hint = fault === 'untrusted' ? " (certificateAuthorities adds a company's own)" : ''
  return `${quote(why)}${hint}`
}
